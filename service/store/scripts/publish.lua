#!lua
-- Put a rulebook in force. ARGV: prefix, queue, version, document, author, note, version expected to be in force ('' for
-- none), keep_ms (0: for ever). Gives 1, also when this version is in force already, or 0 if another one is.
-- Versions that went out of force longer ago than keep_ms are named by no decision any more; their documents go.
local key = prefix .. 'rulebook'
local HISTORY_ENTRIES_MAX, TRIMMED_MAX = 1000, 100
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
redis.call('ZREM', key .. ':retired', ARGV[3])
if current ~= '' then
  redis.call('ZADD', key .. ':retired', now, current)
end
local keep_ms = tonumber(ARGV[8])
if keep_ms > 0 then
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', key .. ':retired', '-inf', now - keep_ms, 'LIMIT', 0, TRIMMED_MAX)) do
    redis.call('DEL', key .. ':' .. old)
    redis.call('ZREM', key .. ':retired', old)
  end
end
return 1
