-- A long sorted list of texts, in pieces: in one large sorted set, each text costs Redis some 140 bytes besides the text,
-- in a small one 4.
--
-- The list's key contains the first text of each piece, `<key>:<first text>` the piece. Both are sorted sets in which all
-- scores are 0. The first piece begins at ''. The keys of the pieces are in the list's slot.

-- One less than the limit of a compact sorted set (zset-max-listpack-entries): a longer piece is split.
local PIECE = 127

-- A list or a piece of another type stays unchanged and is noted (`foreign.lua`).

-- Returns the beginning of the piece that contains a text, or would contain it; nil if there is no piece yet. The second
-- value is false if the list is unreadable.
local function piece_of(list, text)
  local found = attempt('ZRANGE', list, '[' .. text, '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)
  if not found then
    return nil, false
  end
  return found[1], true
end

local function rope_add(list, text)
  local start, is_readable = piece_of(list, text)
  if not is_readable then
    return
  end
  if not start then
    start = ''
    redis.call('ZADD', list, 0, start)
  end
  local piece = list .. ':' .. start
  if not attempt('ZADD', piece, 0, text) then
    return
  end
  local length = redis.call('ZCARD', piece)
  if length <= PIECE then
    return
  end
  local from = math.floor(length / 2)
  -- New texts usually come last: then the full piece stays full. Lua itself would compare by the server's locale.
  if redis.call('ZRANGE', piece, -1, -1)[1] == text then
    from = length - 1
  end
  local moved = redis.call('ZRANGE', piece, from, -1)
  local scored = {}
  for _, other in ipairs(moved) do
    scored[#scored + 1] = 0
    scored[#scored + 1] = other
  end
  redis.call('ZREMRANGEBYRANK', piece, from, -1)
  redis.call('ZADD', list .. ':' .. moved[1], unpack(scored))
  redis.call('ZADD', list, 0, moved[1])
end

-- Returns true if the list is empty now.
local function rope_remove(list, text)
  local start = piece_of(list, text)
  if not start then
    return false
  end
  local piece = list .. ':' .. start
  local length, pieces = attempt('ZCARD', piece), redis.call('ZCARD', list)
  if not length then
    return false
  end
  if redis.call('ZREM', piece, text) < length then
    return false
  end
  redis.call('ZREM', list, start)
  return pieces == 1
end

-- Returns at most `count` texts, from a BYLEX bound on.
local function rope_range(list, from, count)
  local found = {}
  local start = from ~= '-' and piece_of(list, string.sub(from, 2))
  local at = start and '[' .. start or '-'
  while #found < count do
    local pieces = attempt('ZRANGE', list, at, '+', 'BYLEX', 'LIMIT', 0, 1)
    start = pieces and pieces[1]
    if not start then
      break
    end
    local piece = list .. ':' .. start
    for _, text in ipairs(attempt('ZRANGE', piece, from, '+', 'BYLEX', 'LIMIT', 0, count - #found) or {}) do
      found[#found + 1] = text
    end
    at = '(' .. start
  end
  return found
end

