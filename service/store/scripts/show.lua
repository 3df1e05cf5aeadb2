#!lua flags=no-writes
-- Return the stored data of an event in one consistent read. ARGV: prefix, queue, id. Returns the encoded event, the
-- hash and the history; false, {} and false if they are absent.
local id = ARGV[3]
return {
  text(prefix .. 'delivery:' .. id) or false,
  has_type(prefix .. 'event:' .. id, 'hash') and redis.call('HGETALL', prefix .. 'event:' .. id) or {},
  text(prefix .. 'history:' .. id) or false,
}
