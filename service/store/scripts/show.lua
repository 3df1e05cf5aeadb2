#!lua flags=no-writes
-- Return the stored data of an event in one consistent read. ARGV: prefix, queue, id. Returns the encoded event, the
-- hash and the history; false, {} and false if they are absent; per effect the event that it waits for, or ''; and count,
-- time (ms) and encoded event of the newest duplicate with other content, or {}.
local id = ARGV[3]
local behind = {}
local order = fields_of(prefix .. 'event:' .. id, 'order', 'ledger') or {}
local lists, unfinished = effects_of(order[1] or '', order[2] or '')
for i, list in ipairs(lists) do
  local head = list ~= '' and unfinished[i] ~= '' and read('LINDEX', list, 0)
  behind[i] = head and head ~= id and head or ''
end
return {
  text(prefix .. 'delivery:' .. id) or false,
  has_type(prefix .. 'event:' .. id, 'hash') and redis.call('HGETALL', prefix .. 'event:' .. id) or {},
  text(prefix .. 'history:' .. id) or false,
  behind,
  fields_of(prefix .. 'differing:' .. id, 'count', 'at_ms', 'delivery') or {},
}
