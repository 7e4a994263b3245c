-- Moves the cursor and queues what was read up to it, or queues without a cursor.
--
-- KEYS  1 cursor, 2 outbox, 3 due, 4 health
-- ARGV  1 the cursor as it was read ('' for none), 2 the cursor after, 3 how many messages to keep behind it,
--       4 what stands before the node's keys, 5 how many may be pending for a receiver, 6 how many dead to keep,
--       7 how many messages before the cursor after must be these, 8 number of deliveries; then the ids of the former; then
--       for each delivery the receiver, the name of its queue, its id, its place in the outbox,
--       the message, '1' when it is held, its app; then how many bytes of messages to keep behind the cursor, and apps with
--       the bytes of their messages that are handed over
-- Answers {-1, 0} when the cursor is elsewhere or the outbox holds other messages there, else how many were not queued and
-- how many of the dead were dropped.
--
-- The keys of queues, deliveries and logs are made here: they are in the same slot.
if ARGV[1] ~= '' and (attempt('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return { -1, 0 }
end
local known = tonumber(ARGV[7])
if known > 0 then
  -- Whoever asks may know them from a server that was left since, whose last writes this one never had.
  local first = string.format('0-%.0f', tonumber(ARGV[2]) - known + 1)
  local found = attempt('XRANGE', KEYS[2], first, '0-' .. ARGV[2]) or {}
  if #found ~= known then
    return { -1, 0 }
  end
  for n, entry in ipairs(found) do
    if entry[2][2] ~= ARGV[8 + n] then
      return { -1, 0 }
    end
  end
end
local prefix = ARGV[4]
local most_pending, most_dead = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = string.format('%.0f', now)
local lost, dropped = 0, 0
for n = 0, tonumber(ARGV[8]) - 1 do
  local at = 9 + known + 7 * n
  local endpoint, queue, id, place, message, held, app = unpack(ARGV, at, at + 6)
  local record = prefix .. 'delivery:' .. endpoint .. ':' .. id
  local status = held == '1' and 'dead' or 'pending'
  local log = prefix .. 'log:' .. status .. ':' .. endpoint
  -- A log or a queue of another type takes nothing.
  local logged, list = attempt('ZCARD', log), prefix .. 'queue:' .. queue
  if redis.call('EXISTS', record) == 1 then
    -- Asked for twice: the answer was lost.
  elseif not logged or not attempt('LLEN', list) or (held ~= '1' and logged >= most_pending) then
    attempt('HINCRBY', KEYS[4], endpoint .. ':lost', 1)
    lost = lost + 1
  else
    count_delivery(prefix, endpoint, #message)
    local position = string.format('%014.0f:%s:%s', now, place, id)
    redis.call('HSET', record, 'm', message, 's', status, 'p', position, 'q', queue)
    redis.call('ZADD', log, 0, position)
    if held == '1' then
      local over = redis.call('ZCARD', log) - most_dead
      if over > 0 then
        for _, old in ipairs(redis.call('ZRANGE', log, 0, over - 1)) do
          local dropped_record = prefix .. 'delivery:' .. endpoint .. ':' .. string.match(old, '^%d+:%d+:(.*)$')
          count_delivery(prefix, endpoint, -bytes_of_delivery(dropped_record))
          redis.call('UNLINK', dropped_record)
        end
        redis.call('ZREMRANGEBYRANK', log, 0, over - 1)
        dropped = dropped + over
      end
    else
      redis.call('RPUSH', list, id)
      set_due_if_new(KEYS[3], app, endpoint, queue, due)
    end
  end
end
if ARGV[1] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2])
  local first_kept = tonumber(ARGV[2]) - tonumber(ARGV[3]) + 1
  if first_kept > 1 then
    redis.call('XTRIM', KEYS[2], 'MINID', string.format('0-%.0f', first_kept))
  end
  local after = 9 + known + 7 * tonumber(ARGV[8])
  trim_handed_over(KEYS[2], ARGV[2], tonumber(ARGV[after]))
  count_handed_over(prefix, KEYS[2], ARGV[2], after + 1)
end
return { lost, dropped }
