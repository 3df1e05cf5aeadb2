#!lua
-- Activate a rulebook version. ARGV: prefix, queue, version, document, author, note, expected active version ('' for
-- none), retention_ms (0: no limit). Returns 1 (also if this version is active already), or 0 if another version is
-- active.
-- Documents of versions that were retired more than retention_ms ago are deleted: no stored decision refers to them.
local key = prefix .. 'rulebook'
local HISTORY_ENTRIES_MAX, TRIMMED_MAX = 1000, 100
local current = redis.call('HGET', key, 'version') or ''
if current == ARGV[3] then
  return 1
elseif current ~= ARGV[7] then
  return 0
end
-- An active version must not be among the retired ones, whose documents are deleted.
redis.call('ZREM', key .. ':retired', ARGV[3])
redis.call('SET', key .. ':' .. ARGV[3], ARGV[4])
redis.call('HSET', key, 'version', ARGV[3], 'author', ARGV[5], 'note', ARGV[6], 'at', now)
local entry = cjson.encode({version = ARGV[3], author = ARGV[5], note = ARGV[6], at = now})
redis.call('LPUSH', key .. ':history', entry)
redis.call('LTRIM', key .. ':history', 0, HISTORY_ENTRIES_MAX - 1)
if current ~= '' then
  redis.call('ZADD', key .. ':retired', now, current)
end
local retention_ms = tonumber(ARGV[8])
if retention_ms > 0 then
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', key .. ':retired', '-inf', now - retention_ms, 'LIMIT', 0, TRIMMED_MAX)) do
    redis.call('DEL', key .. ':' .. old)
    redis.call('ZREM', key .. ':retired', old)
  end
end
return 1
