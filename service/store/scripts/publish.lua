#!lua
-- Put a rulebook in force. ARGV: prefix, queue, version, document, author, note, version expected to be in force ('' for
-- none). Gives 1, also when this version is in force already, or 0 if another one is.
local key = prefix .. 'rulebook'
local HISTORY_ENTRIES_MAX = 1000
local current = redis.call('HGET', key, 'version') or ''
if current == ARGV[3] then
  return 1
elseif current ~= ARGV[7] then
  return 0
end
redis.call('SET', key .. ':' .. ARGV[3], ARGV[4])
redis.call('HSET', key, 'version', ARGV[3], 'author', ARGV[5], 'note', ARGV[6], 'at', now)
local entry = cjson.encode({version = ARGV[3], author = ARGV[5], note = ARGV[6], at = now})
redis.call('LPUSH', key .. ':history', entry)
redis.call('LTRIM', key .. ':history', 0, HISTORY_ENTRIES_MAX - 1)
return 1
