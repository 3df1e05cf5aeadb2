#!lua flags=allow-oom
-- Return the installation record, 'ok <generation> <shards> <id>' or 'lost …'. ARGV: prefix, queue, id and generation
-- that the process works with (0 if it does not know), 1 if it may start a record in an empty store, number of shards.
-- A store without the record, or with an earlier generation of it, is marked as lost, so that a process that starts
-- later does not use it either. The record of another installation is not changed.
local record = read('GET', install)
local generation, id = string.match(record or '', '^%l+ (%d+) %d+ (.+)$')
if not record and ARGV[5] == '1' then
  record = 'ok 1 ' .. ARGV[6] .. ' ' .. ARGV[3]
elseif not record or id == ARGV[3] and tonumber(generation) < tonumber(ARGV[4]) then
  record = 'lost ' .. ARGV[4] .. ' ' .. ARGV[6] .. ' ' .. ARGV[3]
else
  return record
end
redis.call('SET', install, record)
return record
