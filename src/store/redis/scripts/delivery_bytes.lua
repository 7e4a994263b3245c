-- Counts the bytes of deliveries, for quotas.
--
-- Hashes in the node's slot: `bytes-deliveries` endpoint to the bytes of its pending and dead deliveries, `bytes-history`
-- endpoint to the bytes of its delivered messages that are kept. Expired deliveries are not subtracted one by one: for
-- each, the count loses the average of the log, and both counts end with the last entry of their logs.

-- The limit of bytes of delivered messages of an endpoint.
local MOST_HISTORY = 8388608

local function bytes_of_delivery(record)
  return attempt('HSTRLEN', record, 'm') or 0
end

local function count_delivery(prefix, endpoint, bytes)
  local sum = attempt('HINCRBY', prefix .. 'bytes-deliveries', endpoint, bytes)
  if sum and bytes < 0 and (sum <= 0 or (redis.call('EXISTS', prefix .. 'log:pending:' .. endpoint, prefix .. 'log:dead:' .. endpoint) == 0)) then
    redis.call('HDEL', prefix .. 'bytes-deliveries', endpoint)
  end
end

-- Removes the count if `bytes` is nil.
local function count_history(prefix, endpoint, bytes)
  local history = prefix .. 'bytes-history'
  local sum = bytes and attempt('HINCRBY', history, endpoint, string.format('%.0f', bytes))
  if not sum or sum <= 0 then
    attempt('HDEL', history, endpoint)
    return 0
  end
  return sum
end

-- Subtracts the average of the log for an expired entry.
local function forget_average(prefix, endpoint, log)
  local sum = tonumber(attempt('HGET', prefix .. 'bytes-history', endpoint) or '0') or 0
  count_history(prefix, endpoint, -math.floor(sum / math.max(redis.call('ZCARD', log), 1)))
end

-- Drops the oldest delivered messages while they have too many bytes, a few at a time.
local function keep_history(prefix, endpoint, log, bytes, delivery_of)
  if redis.call('ZCARD', log) == 1 then
    count_history(prefix, endpoint, nil)
  end
  local sum = count_history(prefix, endpoint, bytes)
  for _ = 1, 16 do
    local old = sum > MOST_HISTORY and redis.call('ZRANGE', log, 0, 0)[1]
    if not old or redis.call('ZCARD', log) == 1 then
      return
    end
    local record = delivery_of(old)
    if redis.call('EXISTS', record) == 0 then
      forget_average(prefix, endpoint, log)
      sum = tonumber(attempt('HGET', prefix .. 'bytes-history', endpoint) or '0') or 0
    else
      sum = count_history(prefix, endpoint, -bytes_of_delivery(record))
      redis.call('UNLINK', record)
    end
    redis.call('ZREM', log, old)
  end
end

-- Returns the counter `t` of an entry. The bytes between two entries of the outbox are the difference of their counters.
local function total_at(entry)
  for n = 1, entry and #entry[2] or 0, 2 do
    if entry[2][n] == 't' then
      return tonumber(entry[2][n + 1])
    end
  end
end

-- Drops the oldest queued messages while they have too many bytes, a few at a time.
local function trim_handed_over(outbox, cursor, most)
  local last = total_at(redis.call('XRANGE', outbox, '0-' .. cursor, '0-' .. cursor)[1])
  if not last then
    return
  end
  local from
  for _ = 1, 64 do
    local entry = redis.call('XRANGE', outbox, from and '(' .. from or '-', '+', 'COUNT', 1)[1]
    local total = total_at(entry)
    if not entry or entry[1] == '0-' .. cursor or (total and (last - total <= most or total > last)) then
      break
    end
    from = entry[1]
  end
  if from then
    local position = tonumber(string.match(from, '-(%d+)$'))
    redis.call('XTRIM', outbox, 'MINID', string.format('0-%.0f', position + 1))
  end
end

-- Subtracts queued messages from the waiting ones. Removes the counts when no message waits.
local function count_handed_over(prefix, outbox, cursor, from)
  local waiting = prefix .. 'bytes-outbox'
  if #redis.call('XRANGE', outbox, '(0-' .. cursor, '+', 'COUNT', 1) == 0 then
    redis.call('DEL', waiting)
    return
  end
  for n = from, #ARGV, 2 do
    local sum = attempt('HINCRBY', waiting, ARGV[n], '-' .. ARGV[n + 1])
    if sum and sum <= 0 then
      redis.call('HDEL', waiting, ARGV[n])
    end
  end
end

