#!lua flags=no-writes
-- Count what waits. ARGV: prefix, queue. Gives {due, queued, waiting, age of the oldest in ms, dead letters}.
local oldest = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]
return {
  redis.call('ZCOUNT', queue, '-inf', now), redis.call('ZCARD', queue), redis.call('ZCARD', open),
  oldest and (now - tonumber(oldest)) or 0, redis.call('ZCARD', dead),
}
