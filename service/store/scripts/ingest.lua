#!lua
-- Ingest a batch of deliveries: per event create the lane's job, append the event to its lane, store it, set the dedupe
-- key, and wake a worker. ARGV: prefix, queue, backlog_events_max, then per delivery its number of events, and 6 per
-- event: id, dedupe key, window_ms, lane, encoded event, job payload.
-- Returns per event the id stored under its dedupe key: its own (ingested now or by an earlier call with the same id),
-- or the first event's id (duplicate). At the backlog limit a delivery is rejected with '' for each event, unless all
-- are duplicates. A delivery is ingested whole, so that the events of one delivery at most exceed the limit.
local PARTS = 6
local holders, added = {}, false
local capacity = tonumber(ARGV[3]) - redis.call('ZCARD', open)

local function ingest(i)
  local holder, made = add_event(i)
  if not holder then
    added = made or added
    capacity = capacity - 1
  end
  return holder or ARGV[i]
end

local function duplicates(first, last)
  local found = {}
  for i = first, last, PARTS do
    local holder = read('GET', prefix .. 'dedupe:' .. ARGV[i + 1])
    if not holder then
      return nil
    end
    found[#found + 1] = holder
  end
  return found
end

local i = 4
while i <= #ARGV do
  local first, last = i + 1, i + ARGV[i] * PARTS
  local found = capacity <= 0 and (duplicates(first, last) or {})
  for at = first, last, PARTS do
    holders[#holders + 1] = found and (found[(at - first) / PARTS + 1] or '') or ingest(at)
  end
  i = last + 1
end
if added then
  wake_one()
end
return holders
