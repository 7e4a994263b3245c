-- Claims the heads of queues that are due.
--
-- KEYS  1 ready, 2 claims, 3 failed
-- ARGV  1 what stands before a queue's name in the key of its list, 2 visibility in ms, 3 how many at most, 4 token
-- Answers, flat, for each the name of the queue, how often its head has failed, for how many ms, the head.
--
-- The lists' keys follow from what is ready, so they cannot be among KEYS; they are in the same slot.
-- While a cluster moves the slot, a list that is elsewhere already would look empty. Then not all of two keys are
-- here, one of which never is anywhere, and that is an error.
if type(redis.pcall('EXISTS', KEYS[1], KEYS[1] .. '#')) == 'table' then
  return redis.error_reply('TRYAGAIN the slot is being moved')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local again = string.format('%.0f', now + ARGV[2])
local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, ARGV[3])
local claimed = {}
for _, queue in ipairs(due) do
  local head = redis.call('LINDEX', ARGV[1] .. queue, 0)
  if head then
    redis.call('ZADD', KEYS[1], again, queue)
    redis.call('HSET', KEYS[2], queue, ARGV[4])
    -- How often, and since when; it was only how often once.
    local times, since = string.match(redis.call('HGET', KEYS[3], queue) or '0', '^(%d+) ?(%d*)$')
    claimed[#claimed + 1] = queue
    claimed[#claimed + 1] = times or '?'
    claimed[#claimed + 1] = string.format('%.0f', math.max(now - (tonumber(since) or now), 0))
    claimed[#claimed + 1] = head
  else
    -- Its head was parked and nothing came behind it, or someone deleted the list by hand.
    redis.call('ZREM', KEYS[1], queue)
  end
end
return claimed
