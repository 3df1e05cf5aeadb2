#!lua flags=no-writes
-- Return a page of an index of events, newest first. ARGV: prefix, queue, index, highest score, offset, events_max.
-- Returns per event {id, score, state, outcome, attempts, ledger, source, type, change, record, history}. Source, type,
-- change and record come from the stored event. If its body expired they are '', and `history` holds the start of the
-- history.
local answers = {}

local function summary(id)
  local delivery = head_of_delivery(id)
  if delivery then
    return delivery[1], delivery[2], delivery[3], delivery[4], ''
  end
  return '', '', '', '', text(prefix .. 'history:' .. id, 0, 4095) or ''
end

local ids = redis.call('ZRANGE', prefix .. ARGV[3], ARGV[4], '-inf', 'BYSCORE', 'REV', 'LIMIT', ARGV[5], ARGV[6],
  'WITHSCORES')
for i = 1, #ids, 2 do
  local event = prefix .. 'event:' .. ids[i]
  local held = {field(event, 'state'), field(event, 'outcome'), field(event, 'attempts'), field(event, 'ledger')}
  local as = ARGV[3] == 'ended' and end_of(ids[i])
  if as then
    held = {'ended', as[1], as[2], as[3]}
  end
  answers[#answers + 1] = {
    ids[i], ids[i + 1], held[1] or 'queued', held[2] or '', held[3] or '0', held[4] or '', summary(ids[i])
  }
end
return answers
