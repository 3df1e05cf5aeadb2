#!lua flags=no-writes
-- Return the stored data of an event in one consistent read. ARGV: prefix, queue, id. Returns the encoded event, the
-- hash and the history; false, {} and false if they are absent.
local id = ARGV[3]
return {
  redis.call('GET', prefix .. 'delivery:' .. id), redis.call('HGETALL', prefix .. 'event:' .. id),
  redis.call('GET', prefix .. 'history:' .. id),
}
