-- The outbox is a stream with the ids `0-<position>`. The position of the newest message is also under `<outbox>:last`. So
-- positions continue after the stream is deleted, and the missing messages can be counted.

local OUTBOX_FIRST, OUTBOX_LAST = '0-1', '0-18446744073709551615'

-- The lifetime of values that were set aside, for a person to inspect: a day.
local ASIDE_MS = 86400000

-- Returns the position of the newest entry that has one; 0 if there is none.
local function newest_entry(outbox)
  local found = redis.pcall('XREVRANGE', outbox, OUTBOX_LAST, OUTBOX_FIRST, 'COUNT', 1)
  if found.err or not found[1] then
    return 0
  end
  return tonumber(string.match(found[1][1], '-(%d+)$'))
end

-- Returns the cursor: nil if the stored value is not one, which the next read of the outbox repairs.
local function cursor_at(key)
  local cursor = attempt('GET', key)
  if cursor == false then
    return 0
  end
  return cursor and string.match(cursor, '^%d+$') and tonumber(cursor)
end

-- Returns the position of the newest message that the outbox ever had.
local function last_position(outbox, cursor)
  local key = outbox .. ':last'
  local last = replace('GET', key)
  if last and not string.match(last, '^%d+$') then
    move_aside(key, 'the position was no number')
    last = false
  end
  -- Earlier versions did not write it, and may still append.
  return last and tonumber(last) or math.max(newest_entry(outbox), cursor or 0)
end

-- Sets an outbox aside that cannot be appended to: another type, or ids that are not positions. Copies its messages to a
-- new one. Returns the number of entries that were not messages.
local function mend_outbox(outbox)
  local kind = redis.call('TYPE', outbox).ok
  if kind == 'none' then
    return 0
  end
  if kind == 'stream' then
    local info = redis.call('XINFO', 'STREAM', outbox)
    for n = 1, #info, 2 do
      if info[n] == 'last-generated-id' and string.match(info[n + 1], '^0%-') then
        return 0
      end
    end
  end
  local aside = outbox .. ':aside'
  note_foreign(outbox, 'the key held no outbox; the value is at ' .. aside .. ' for a day')
  redis.call('DEL', aside)
  redis.call('RENAME', outbox, aside)
  redis.call('PEXPIRE', aside, ASIDE_MS)
  if kind ~= 'stream' then
    return 1
  end
  local spoilt = redis.call('XLEN', aside)
  local from = OUTBOX_FIRST
  while from do
    local entries = redis.call('XRANGE', aside, from, OUTBOX_LAST, 'COUNT', 500)
    from = nil
    for _, entry in ipairs(entries) do
      redis.call('XADD', outbox, entry[1], unpack(entry[2]))
      spoilt = spoilt - 1
      from = '(' .. entry[1]
    end
  end
  return spoilt
end

-- Notes the numbers of missing messages and unreadable entries, for the operator.
local function note_outbox(health, missing, unreadable)
  if missing + unreadable == 0 then
    return
  end
  local time = redis.call('TIME')
  attempt('HINCRBY', health, 'outbox:missing', missing)
  attempt('HINCRBY', health, 'outbox:unreadable', unreadable)
  attempt('HSET', health, 'outbox:at', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
end

-- Appends a message at a position, or behind the entry that another program has put there. Returns its position.
local function append_to_outbox(outbox, health, position, fields)
  local added = redis.pcall('XADD', outbox, string.format('0-%.0f', position), unpack(fields))
  if type(added) == 'table' then
    note_outbox(health, 0, mend_outbox(outbox))
    position = math.max(position, newest_entry(outbox) + 1)
    redis.call('XADD', outbox, string.format('0-%.0f', position), unpack(fields))
  end
  return position
end

