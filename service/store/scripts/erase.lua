#!lua flags=allow-oom
-- Erase events and the last state of their record. ARGV: prefix, queue, record, ids. Dedupe keys stay: they hold a
-- digest only, and a redelivery would bring the event back. Returns per id 1, or 0 if an attempt is in progress.
local lane = lane_prefix .. ARGV[3]
local answers = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local effects = effects_prefix .. id
  if redis.call('EXISTS', lease_key(lane), lease_key(effects)) > 0 and received_at(id) then
    answers[#answers + 1] = 0
  else
    redis.call('LREM', lane, 0, id)
    leave_order(id)
    drop_job(effects)
    redis.call('DEL', prefix .. 'differing:' .. id, prefix .. 'history:' .. id, prefix .. 'event:' .. id)
    redis.call('DEL', prefix .. 'delivery:' .. id)
    -- Last: the next erasure finds the event in its index if a command before failed.
    for _, index in ipairs({open, dead, ended}) do
      redis.call('ZREM', index, id)
    end
    answers[#answers + 1] = 1
  end
end
if redis.call('EXISTS', lease_key(lane)) == 0 then
  redis.call('DEL', prefix .. 'record:' .. ARGV[3])
  if redis.call('LLEN', lane) == 0 then
    drop_job(lane)
  end
end
return answers
