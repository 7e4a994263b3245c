-- Moves the cursor and queues the messages up to it, or queues without a cursor.
--
-- KEYS  1 cursor, 2 outbox, 3 due, 4 health
-- ARGV  1 the old cursor ('' for none), 2 the new cursor, 3 number of messages to keep behind it,
--       4 prefix of the node's keys, 5 limit of pending deliveries of an endpoint, 6 limit of dead ones,
--       7 number of verified messages before the new cursor, 8 number of deliveries; then the ids of the verified messages;
--       then for each delivery the endpoint, the name of its queue, its id, its position in the outbox,
--       the message, '1' if it is held, its app; then the bytes of messages to keep behind the cursor, and apps with
--       the bytes of their queued messages
-- Returns {-1, 0} if the cursor is elsewhere or the outbox contains other messages, else the number of lost messages and
-- the number of dropped dead deliveries.
--
-- The keys of queues, deliveries and logs are built here: they are in the same slot.
if ARGV[1] ~= '' and (attempt('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return { -1, 0 }
end
local known = tonumber(ARGV[7])
if known > 0 then
  -- The caller may have the ids from another server, whose last writes this one never received.
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
  local endpoint, queue, id, at_outbox, message, held, app = unpack(ARGV, at, at + 6)
  local record = prefix .. 'delivery:' .. endpoint .. ':' .. id
  local status = held == '1' and 'dead' or 'pending'
  local log = prefix .. 'log:' .. status .. ':' .. endpoint
  -- A log or a queue of another type accepts nothing.
  local logged, list = attempt('ZCARD', log), prefix .. 'queue:' .. queue
  if redis.call('EXISTS', record) == 1 then
    -- The request was repeated, because its answer was lost.
  elseif not logged or not attempt('LLEN', list) or (held ~= '1' and logged >= most_pending) then
    attempt('HINCRBY', KEYS[4], endpoint .. ':lost', 1)
    lost = lost + 1
  else
    count_delivery(prefix, endpoint, #message)
    local position = string.format('%014.0f:%s:%s', now, at_outbox, id)
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
