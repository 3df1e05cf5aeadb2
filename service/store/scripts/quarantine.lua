#!lua
-- Store rejected deliveries. Each source has its own limits; at a limit the oldest deliveries of that source are
-- removed.
-- ARGV: prefix, queue, deliveries_max, bytes_max, retention_ms, then per delivery: source, id, bytes.
-- Returns the number of removed deliveries.
local deliveries_max, bytes_max, retention_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local sources, removed = prefix .. 'quarantines', 0

local function drop_oldest(index, kept, size)
  local id = redis.call('ZPOPMIN', index)[1]
  local bytes = redis.call('HSTRLEN', kept, id)
  redis.call('HDEL', kept, id)
  return redis.call('DECRBY', size, bytes)
end

for i = 6, #ARGV, 3 do
  local source, id, delivery = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local index = prefix .. 'quarantine:' .. source
  local kept, size = index .. ':kept', index .. ':bytes'
  -- The delivery is stored after its index, so that a repeated call stores it again if a command between them failed.
  if #delivery <= bytes_max and redis.call('HEXISTS', kept, id) == 0 then
    redis.call('SADD', sources, source)
    redis.call('ZADD', index, now, id)
    local bytes = redis.call('INCRBY', size, #delivery)
    redis.call('HSET', kept, id, delivery)
    for _ = 1, redis.call('ZCOUNT', index, '-inf', now - retention_ms) do
      bytes = drop_oldest(index, kept, size)
    end
    while bytes > bytes_max or redis.call('ZCARD', index) > deliveries_max do
      bytes = drop_oldest(index, kept, size)
      removed = removed + 1
    end
    for _, key in ipairs({index, kept, size}) do
      redis.call('PEXPIRE', key, retention_ms)
    end
  end
end
return removed
