#!lua
-- Store rejected deliveries. Each source has its own limits. At a limit its oldest delivery without a valid signature is
-- removed, and a verified one only if there is no other.
-- ARGV: prefix, queue, deliveries_max, bytes_max, retention_ms, then per delivery: source, id, bytes, '1' if verified.
-- Returns the number of removed deliveries.
local deliveries_max, bytes_max, retention_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local sources, removed = prefix .. 'quarantines', 0

local function drop(index, id)
  local bytes = redis.call('HSTRLEN', index .. ':kept', id)
  redis.call('HDEL', index .. ':kept', id)
  redis.call('ZREM', index .. ':unverified', id)
  redis.call('ZREM', index, id)
  return redis.call('DECRBY', index .. ':bytes', bytes)
end

for i = 6, #ARGV, 4 do
  local source, id, delivery, verified = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local index = prefix .. 'quarantine:' .. source
  local kept, size, unverified = index .. ':kept', index .. ':bytes', index .. ':unverified'
  -- The delivery is stored after its index, so that a repeated call stores it again if a command between them failed.
  if #delivery <= bytes_max and redis.call('HEXISTS', kept, id) == 0 then
    redis.call('SADD', sources, source)
    redis.call('ZADD', index, now, id)
    if verified == '0' then
      redis.call('ZADD', unverified, now, id)
    end
    local bytes = redis.call('INCRBY', size, #delivery)
    redis.call('HSET', kept, id, delivery)
    for _, expired in ipairs(redis.call('ZRANGE', index, '-inf', now - retention_ms, 'BYSCORE')) do
      bytes = drop(index, expired)
    end
    while bytes > bytes_max or redis.call('ZCARD', index) > deliveries_max do
      local oldest = redis.call('ZRANGE', unverified, 0, 0)[1] or redis.call('ZRANGE', index, 0, 0)[1]
      bytes = drop(index, oldest)
      removed = removed + 1
    end
    for _, key in ipairs({index, kept, size, unverified}) do
      redis.call('PEXPIRE', key, retention_ms)
    end
  end
end
return removed
