#!lua flags=allow-oom
-- Write decisions, each before any of its effects. ARGV: prefix, queue, retention of a record's last state in ms (0: no
-- limit), then 14 per event: job, token, id, history line, ledger (one letter per effect), outcome if the event ends
-- here ('' if effects follow), record digest, record version, fields for `previous`, change type, retention_ms, body_ms,
-- more ('1': return the lane's next event), order of the effects ('' if the order of all is free).
-- Returns per event {'ok', place of each effect in the order, or '' if no earlier event has unfinished ones}, the result
-- of proceed, or {'lost'}.
local answers = {}
local record_ms = tonumber(ARGV[3])

-- Store the last decided state; it never returns to an older version. `types` lists the changes decided on this state.
local function advance(lane, digest, version, fields, change)
  local key = prefix .. 'record:' .. string.sub(lane, #lane_prefix + 1)
  local last_digest, last_version, last_types = string.match(text(key) or '', '^([^\n]*)\n([^\n]*)\n([^\n]*)\n')
  if last_version and last_version ~= '' and version ~= '' and last_version > version then
    return
  end
  if version == '' then
    version = last_version or '' -- a deleted record has no version: keep the last one
  end
  local types = change
  if last_digest == digest then
    types = last_types
    if not string.find(types, change, 1, true) then
      types = types .. change
    end
  end
  local state = table.concat({digest, version, types, fields}, '\n')
  if record_ms > 0 then
    redis.call('SET', key, state, 'PX', record_ms)
  else
    redis.call('SET', key, state)
  end
end

-- Store the ledger of a decision, and return the places of its effects. An effect behind an earlier event is not started.
local function store_ledger(id, event, ledger, order)
  local places, lists = '', {}
  for _, list in ipairs((effects_of(order, ledger))) do
    lists[#lists + 1] = list ~= '' and list or nil
  end
  if #lists > 0 and redis.call('EXISTS', unpack(lists)) > 0 then
    places = places_of(id, order, ledger)
    local at = 0
    ledger = string.gsub(ledger, '.', function(letter)
      at = at + 1
      return string.sub(places, at, at) == 'b' and 'p' or letter
    end)
    redis.call('HSET', event, 'state', 'decided', 'ledger', ledger, 'order', order)
  else
    redis.call('HSET', event, 'state', 'decided', 'ledger', ledger)
  end
  return places
end

local function decide(i)
  local job, token, id, outcome = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local may = check_lease(job, token, id)
  if may == 'no' then
    return {'lost'}
  elseif may == 'over' then
    return {'done'}
  end
  local event = prefix .. 'event:' .. id
  local is_running = field(event, 'running') == token
  if is_running and field(event, 'state') == 'decided' then
    local order = field(event, 'order')
    return {'ok', order and places_of(id, order, ARGV[i + 4]) or ''}
  end
  if is_running then -- otherwise the call is repeated, and the attempt has ended
    append_history(id, ARGV[i + 3], outcome ~= '')
    -- The decision is stored before the record: a decision made again would compare the record with itself.
    local places = ''
    if outcome == '' then
      places = store_ledger(id, event, ARGV[i + 4], ARGV[i + 13])
    end
    if ARGV[i + 6] ~= '' then
      advance(job, ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9])
    elseif record_ms > 0 then -- unchanged: extend the retention
      redis.call('PEXPIRE', prefix .. 'record:' .. string.sub(job, #lane_prefix + 1), record_ms)
    end
    if outcome == '' then
      return {'ok', places}
    end
    end_event(job, token, id, outcome, ARGV[i + 10], ARGV[i + 11])
  end
  return proceed(job, token, ARGV[i + 12])
end

for i = 4, #ARGV, 14 do
  answers[#answers + 1] = decide(i)
end
return answers
