#!lua flags=no-writes
-- Count jobs and events. ARGV: prefix, queue. Returns {due jobs, all jobs, pending events, age of the oldest event in
-- ms, dead letters, parked jobs, age of the oldest parked job in ms, ms since the longest due job became due, time in ms,
-- keys that were set aside, heartbeats}.
local oldest = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]
local first_due = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
local parked, parked_at = 0, now
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
  parked, parked_at = parked + redis.call('ZCARD', prefix .. 'parked:' .. name), math.min(parked_at, parked_since(name))
end
return {
  redis.call('ZCOUNT', queue, '-inf', now), redis.call('ZCARD', queue), redis.call('ZCARD', open),
  oldest and (now - tonumber(oldest)) or 0, redis.call('ZCARD', dead), parked, now - parked_at,
  first_due and math.max(0, now - tonumber(first_due)) or 0, now,
  redis.call('HLEN', prefix .. 'damaged'), redis.call('HVALS', prefix .. 'workers'),
}
