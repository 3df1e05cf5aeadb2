#!lua flags=allow-oom
-- Accept the data of the store as those of an installation. ARGV: prefix, queue, id ('' for the id of the record),
-- number of shards.
-- The generation rises, so that running processes use the store again, and reject an earlier copy of it.
-- Returns the new record; '' if the store is not lost and no other id is given; nil if there is neither record nor id.
local record = read('GET', install) or ''
local state, generation, id = string.match(record, '^(%l+) (%d+) %d+ (.+)$')
local accepted = ARGV[3] ~= '' and ARGV[3] or id
if not accepted then
  return nil
elseif state == 'ok' and accepted == id then
  return ''
end
record = 'ok ' .. string.format('%d', (tonumber(generation) or 0) + 1) .. ' ' .. ARGV[4] .. ' ' .. accepted
redis.call('SET', install, record)
return record
