#!lua flags=no-writes
-- All there is of an event, at one moment. ARGV: prefix, queue, id. Gives its bytes, its hash and its story, or false, {} and
-- false where they are not.
local id = ARGV[3]
return {
  redis.call('GET', prefix .. 'delivery:' .. id), redis.call('HGETALL', prefix .. 'event:' .. id),
  redis.call('GET', prefix .. 'story:' .. id),
}
