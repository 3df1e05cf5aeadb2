#!lua flags=allow-oom
-- Write decisions, each before any of its effects. ARGV: prefix, queue, ms a record is remembered for after its last
-- decision (0: for ever), then per event 13: job, token, id, story line,
-- ledger (one letter an effect), fate if it ends with this ('' if effects follow), record digest, record version, fields
-- for `previous`, change, keep_ms, body_ms, more ('1': give the lane's next event).
-- Gives per event {'ok'} or what proceed gives, or {'lost'}.
local answers = {}
local record_ms = tonumber(ARGV[3])

-- The last decided state never goes back to an older version. `types` lists the changes already decided on this state.
local function advance(lane, digest, version, fields, change)
  local key = prefix .. 'record:' .. string.sub(lane, #lane_prefix + 1)
  local last_digest, last_version, last_types = string.match(redis.call('GET', key) or '', '^([^\n]*)\n([^\n]*)\n([^\n]*)\n')
  if last_version and last_version ~= '' and version ~= '' and last_version > version then
    return
  end
  if version == '' then
    version = last_version or '' -- a record that is gone has none, and must not open the door to what was before
  end
  local types = change
  if last_digest == digest then
    types = last_types
    if not string.find(',' .. types .. ',', ',' .. change .. ',', 1, true) then
      types = types .. ',' .. change
    end
  end
  local state = table.concat({digest, version, types, fields}, '\n')
  if record_ms > 0 then
    redis.call('SET', key, state, 'PX', record_ms)
  else
    redis.call('SET', key, state)
  end
end

local function decide(i)
  local job, token, id, fate = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local may = standing(job, token, id)
  if may == 'no' then
    return {'lost'}
  elseif may == 'over' then
    return {'done'}
  end
  local event = prefix .. 'event:' .. id
  local held = redis.call('HMGET', event, 'state', 'running')
  if held[1] == 'decided' and held[2] == token then
    return {'ok'}
  end
  if held[2] == token then -- otherwise the call is repeated, and the event has left this run
    add_to_story(id, ARGV[i + 3], fate ~= '')
    if ARGV[i + 6] ~= '' then
      advance(job, ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9])
    elseif record_ms > 0 then -- nothing new of it, but it is not forgotten either
      redis.call('PEXPIRE', prefix .. 'record:' .. string.sub(job, #lane_prefix + 1), record_ms)
    end
    if fate == '' then
      redis.call('HSET', event, 'state', 'decided', 'ledger', ARGV[i + 4])
      return {'ok'}
    end
    end_event(job, token, id, fate, ARGV[i + 10], ARGV[i + 11])
  end
  return proceed(job, token, ARGV[i + 12])
end

for i = 4, #ARGV, 13 do
  answers[#answers + 1] = decide(i)
end
return answers
