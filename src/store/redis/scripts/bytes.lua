-- Counts the bytes of each app in a node's slot, within the commit that changes them.
--
-- Hashes, all in the node's slot: `bytes` app to the bytes of its live rooms and calls, `#w` the number of changes, `#t`
-- the bytes of all messages ever; `bytes-ended` `<second of expiry>:<app>` to the bytes of ended views and entities in
-- their keeping time; `bytes-outbox` app to the bytes of its messages behind the cursor. The second is rounded up to a
-- sixteenth of the keeping time, so that an app has some twenty entries at most.
--
-- The counters are for quotas, and never make a commit fail.
local ENTITY_BYTES, VIEW_BYTES, MESSAGE_BYTES, LARGE = 512, 256, 256, 256
local slot = string.match(KEYS[1], '^[^}]*}:')
local live, ended, waiting = {}, {}, {}
local message_total, clock

local function count_live(app, bytes)
  live[app] = (live[app] or 0) + bytes
end

local function count_ended(app, keep, bytes)
  clock = clock or tonumber(redis.call('TIME')[1])
  local seconds = math.ceil(keep / 1000)
  local width = math.max(math.ceil(seconds / 16), 1)
  local field = string.format('%.0f:%s', (math.floor((clock + seconds) / width) + 1) * width, app)
  ended[field] = (ended[field] or 0) + bytes
end

-- Returns the bytes of all messages up to this one.
local function count_message(app, bytes)
  message_total = message_total or tonumber(attempt('HGET', slot .. 'bytes', '#t') or '0') or 0
  message_total = message_total + MESSAGE_BYTES + bytes
  waiting[app] = (waiting[app] or 0) + MESSAGE_BYTES + bytes
  return string.format('%.0f', message_total)
end

-- Returns the bytes of the large values among these fields of a hash. Without large values in the entity (`has` is 0),
-- skips the reads.
local function large_of(hash, from, to, has)
  local sum = 0
  if has > 0 then
    for i = from, to do
      local length = redis.call('HSTRLEN', hash, ARGV[i])
      sum = sum + (length >= LARGE and length or 0)
    end
  end
  return sum
end

-- Returns the growth of a hash's large values when these fields are set, which are names and values in turn.
local function large_in(hash, from, to, has)
  local sum = 0
  for i = from, to, 2 do
    local length = #ARGV[i + 1]
    sum = sum + (length >= LARGE and length or 0) - large_of(hash, i, i, has)
  end
  return sum
end

local function count_all()
  local changed = false
  for app, bytes in pairs(live) do
    if bytes ~= 0 then
      if attempt('HINCRBY', slot .. 'bytes', app, string.format('%.0f', bytes)) == 0 then
        redis.call('HDEL', slot .. 'bytes', app)
      end
      changed = true
    end
  end
  if changed then
    attempt('HINCRBY', slot .. 'bytes', '#w', 1)
  end
  if message_total then
    attempt('HSET', slot .. 'bytes', '#t', string.format('%.0f', message_total))
  end
  for field, bytes in pairs(ended) do
    attempt('HINCRBY', slot .. 'bytes-ended', field, string.format('%.0f', bytes))
  end
  for app, bytes in pairs(waiting) do
    attempt('HINCRBY', slot .. 'bytes-outbox', app, string.format('%.0f', bytes))
  end
end

