-- Ends a claim.
--
-- KEYS  1 due, 2 claims, 3 failed, 4 health, 5 list of the queue, 6 list of the queue for its parked head,
--       7 the delivery
-- ARGV  1 name of the queue, 2 token, 3 'delivered' | 'retry' | 'park' | 'restart' | 'dead' | 'forgotten',
--       4 ms until the retry, 5 ms for which the deliveries behind it wait, 6 name of the queue for its parked head,
--       7 prefix of the node's keys, 8 endpoint, 9 the attempt ('' for none), 10 limit of attempts,
--       11 limit of dead deliveries, 12 limit of delivered ones, 13 their keeping time in ms, 14 the endpoint's app,
--       15 the endpoint's error if the attempt failed ('' otherwise)
-- Returns {-1, 0, 0} if the claim has been replaced, else the number of dropped dead deliveries, the ms for which the
-- endpoint has been failing (-1: it is not), and the number of deliveries behind an ended one (0 if it is retried).
--
-- The keys of the logs and of dropped deliveries are built here: they are in the same slot.
local queue, result, prefix, endpoint = ARGV[1], ARGV[3], ARGV[7], ARGV[8]
local due, app, failed_of, health, list, record = KEYS[1], ARGV[14], KEYS[3], KEYS[4], KEYS[5], KEYS[7]
if replace('HGET', KEYS[2], queue) ~= ARGV[2] then
  return { -1, 0, 0 }
end
redis.call('HDEL', KEYS[2], queue)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = string.format('%.0f', now)

if ARGV[9] ~= '' then
  local n = attempt('HINCRBY', record, 'n', 1)
  if n then
    redis.call('HSET', record, 'a' .. (n - 1) % tonumber(ARGV[10]), ARGV[9])
  end
  if result == 'delivered' then
    attempt('HSET', health, endpoint .. ':ok', at)
    attempt('HDEL', health, endpoint .. ':bad')
  elseif result ~= 'restart' then
    attempt('HSETNX', health, endpoint .. ':bad', at)
    attempt('HSET', health, endpoint .. ':err', ARGV[15])
  end
end
local bad = tonumber(attempt('HGET', health, endpoint .. ':bad') or nil)
local failing = bad and math.max(now - tonumber(bad), 0) or -1

if result == 'retry' or result == 'park' then
  local times, since = string.match(replace('HGET', failed_of, queue) or '0 ', '^(%d+) (%d*)$')
  local failed = string.format('%.0f %.0f', (tonumber(times) or 0) + 1, tonumber(since) or now)
  local again = string.format('%.0f', now + ARGV[4])
  if result == 'retry' then
    redis.call('HSET', failed_of, queue, failed)
    set_due(due, app, endpoint, queue, again)
    return { 0, failing, 0 }
  end
  redis.call('HDEL', failed_of, queue)
  local head = attempt('LPOP', list)
  if head and attempt('RPUSH', KEYS[6], head) then
    redis.call('HSET', failed_of, ARGV[6], failed)
    set_due(due, app, endpoint, ARGV[6], again)
  end
  -- This also holds for an empty queue: later messages wait until then, too, or until the parked one has ended.
  redis.call('HSET', failed_of, 'held:' .. queue, ARGV[6])
  set_due(due, app, endpoint, queue, string.format('%.0f', now + ARGV[5]))
  return { 0, failing, 0 }
end

replace('HDEL', failed_of, queue)
if result == 'restart' then
  set_due(due, app, endpoint, queue, at)
  return { 0, failing, 0 }
end
-- A parked delivery ends: the ones behind it need not wait any longer.
local held = string.match(queue, '^([^#]*)#')
if held and redis.call('HGET', failed_of, 'held:' .. held) == queue then
  redis.call('HDEL', failed_of, 'held:' .. held)
  local until_ms = on_queues(due, endpoint, 'ZSCORE', held)
  if until_ms and tonumber(until_ms) > now and redis.call('HEXISTS', KEYS[2], held) == 0
    and redis.call('HEXISTS', failed_of, held) == 0 then
    set_due(due, app, endpoint, held, at)
  end
end
attempt('LPOP', list)
local behind = attempt('LLEN', list) or 0
if behind == 0 then
  remove_due(due, app, endpoint, queue)
else
  set_due(due, app, endpoint, queue, at)
end

local position, bytes = attempt('HGET', record, 'p'), bytes_of_delivery(record)
if not position then
  -- The delivery was deleted or overwritten by hand.
  if position ~= nil then
    redis.call('UNLINK', record)
  end
  return { 0, failing, behind }
end
attempt('ZREM', prefix .. 'log:pending:' .. endpoint, position)
if result ~= 'dead' then
  count_delivery(prefix, endpoint, -bytes)
end
if result == 'forgotten' then
  redis.call('UNLINK', record)
  return { 0, failing, behind }
end
redis.call('HSET', record, 's', result)
local log = prefix .. 'log:' .. result .. ':' .. endpoint
if not attempt('ZADD', log, 0, position) then
  return { 0, failing, behind }
end
local most = tonumber(ARGV[11])
local function delivery_of(old)
  return prefix .. 'delivery:' .. endpoint .. ':' .. string.match(old, '^%d+:%d+:(.*)$')
end
if result == 'delivered' then
  most = tonumber(ARGV[12])
  redis.call('PEXPIRE', record, ARGV[13])
  -- Expired deliveries leave the log two at a time, which is faster than it grows.
  for _, old in ipairs(redis.call('ZRANGE', log, 0, 1)) do
    if redis.call('EXISTS', delivery_of(old)) == 0 then
      forget_average(prefix, endpoint, log)
      redis.call('ZREM', log, old)
    end
  end
  redis.call('PEXPIRE', log, ARGV[13])
  keep_history(prefix, endpoint, log, bytes, delivery_of)
end
local over = redis.call('ZCARD', log) - most
if over <= 0 then
  return { 0, failing, behind }
end
for _, old in ipairs(redis.call('ZRANGE', log, 0, over - 1)) do
  if result == 'dead' then
    count_delivery(prefix, endpoint, -bytes_of_delivery(delivery_of(old)))
  else
    count_history(prefix, endpoint, -bytes_of_delivery(delivery_of(old)))
  end
  redis.call('UNLINK', delivery_of(old))
end
redis.call('ZREMRANGEBYRANK', log, 0, over - 1)
return { result == 'dead' and over or 0, failing, behind }
