#!lua flags=no-writes
-- Count jobs and events. ARGV: prefix, queue. Returns {due jobs, all jobs, pending events, age of the oldest event in
-- ms, dead letters}.
local oldest = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]
return {
  redis.call('ZCOUNT', queue, '-inf', now), redis.call('ZCARD', queue), redis.call('ZCARD', open),
  oldest and (now - tonumber(oldest)) or 0, redis.call('ZCARD', dead),
}
