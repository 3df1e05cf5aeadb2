#!lua flags=allow-oom
-- Delete quarantined deliveries of one source. ARGV: prefix, queue, source, ids. Returns the number of deleted
-- deliveries.
local index = prefix .. 'quarantine:' .. ARGV[3]
local kept, size, unverified = index .. ':kept', index .. ':bytes', index .. ':unverified'
local deleted = 0
for i = 4, #ARGV do
  local bytes = redis.call('HSTRLEN', kept, ARGV[i])
  if redis.call('HDEL', kept, ARGV[i]) == 1 then
    redis.call('ZREM', index, ARGV[i])
    redis.call('ZREM', unverified, ARGV[i])
    redis.call('DECRBY', size, bytes)
    deleted = deleted + 1
  end
end
if redis.call('ZCARD', index) == 0 then
  redis.call('DEL', kept, size, unverified)
  redis.call('SREM', prefix .. 'quarantines', ARGV[3])
end
return deleted
