#!lua flags=allow-oom
-- Erase events and what is remembered of their record. ARGV: prefix, queue, record, ids. Claims stay: they hold a digest
-- only, and keep a redelivery from bringing the event back. Gives per id 1, or 0 where a run has it in hand just now.
local lane = lane_prefix .. ARGV[3]
local answers = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local effects = effects_prefix .. id
  if redis.call('EXISTS', lock_of(lane), lock_of(effects)) > 0 and redis.call('ZSCORE', open, id) then
    answers[#answers + 1] = 0
  else
    for _, index in ipairs({open, dead, ended}) do
      redis.call('ZREM', index, id)
    end
    redis.call('LREM', lane, 0, id)
    drop_job(effects)
    redis.call('DEL', prefix .. 'delivery:' .. id, prefix .. 'event:' .. id, prefix .. 'story:' .. id)
    answers[#answers + 1] = 1
  end
end
if redis.call('EXISTS', lock_of(lane)) == 0 then
  redis.call('DEL', prefix .. 'record:' .. ARGV[3])
  if redis.call('LLEN', lane) == 0 then
    drop_job(lane)
  end
end
return answers
