#!lua
-- Ingest a batch of deliveries: per event create the lane's job, append the event to its lane, store it, set the dedupe
-- key, and wake a worker. ARGV: prefix, queue, backlog_events_max, then per delivery its number of events, and 7 per
-- event: id, dedupe key, window_ms, lane, encoded event, job payload, value of the dedupe key.
-- Returns per event the id stored under its dedupe key: its own (ingested now or by an earlier call with the same id),
-- or the first event's id (duplicate), with a colon behind it if the content differs. At the backlog limit a delivery is
-- rejected with '' for each event, unless all are duplicates. A delivery is ingested whole, so that the events of one
-- delivery at most exceed the limit.
local PARTS = 7
local holders, added = {}, false
local capacity = tonumber(ARGV[3]) - redis.call('ZCARD', open)

local function ingest(i)
  local holder, result = add_event(i)
  if holder then
    return result and holder .. ':' or holder
  end
  added = result or added
  capacity = capacity - 1
  return ARGV[i]
end

local function are_duplicates(first, last)
  for i = first, last, PARTS do
    if not read('GET', prefix .. 'dedupe:' .. ARGV[i + 1]) then
      return false
    end
  end
  return true
end

local i = 4
while i <= #ARGV do
  local first, last = i + 1, i + ARGV[i] * PARTS
  local accepted = capacity > 0 or are_duplicates(first, last)
  for at = first, last, PARTS do
    holders[#holders + 1] = accepted and ingest(at) or ''
  end
  i = last + 1
end
if added then
  wake_one()
end
return holders
