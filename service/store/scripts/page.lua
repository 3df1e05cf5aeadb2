#!lua flags=no-writes
-- A page of an index of events, newest first, each told in short. ARGV: prefix, queue, index, highest score, events to
-- pass over, events_max.
-- Gives per event {id, score, state, fate, attempts, ledger, source, type, change, record, story}; the four before the last
-- from the event's bytes, or '' where they are dropped; then `story` is the beginning of its story.
local answers = {}

local function told(id)
  local delivery = told_by_delivery(id)
  if delivery then
    return delivery[1], delivery[2], delivery[3], delivery[4], ''
  end
  return '', '', '', '', redis.call('GETRANGE', prefix .. 'story:' .. id, 0, 4095)
end

local ids = redis.call('ZRANGE', prefix .. ARGV[3], ARGV[4], '-inf', 'BYSCORE', 'REV', 'LIMIT', ARGV[5], ARGV[6],
  'WITHSCORES')
for i = 1, #ids, 2 do
  local held = redis.call('HMGET', prefix .. 'event:' .. ids[i], 'state', 'fate', 'attempts', 'ledger')
  local as = ARGV[3] == 'ended' and ended_as(ids[i])
  if as then
    held = {'ended', as[1], as[2], as[3]}
  end
  answers[#answers + 1] = {
    ids[i], ids[i + 1], held[1] or 'queued', held[2] or '', held[3] or '0', held[4] or '', told(ids[i])
  }
end
return answers
