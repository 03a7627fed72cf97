"""What Redis does in one step, in Lua: it runs one script at a time, and all of it.

The first keys of each are the owners and the pulse; the first arguments who calls, the lease and
the silence in ms, and for those that write, an entry's life in ms and a new stamp. A message is a
hash: each recipient's entry, and under the empty name the stamp of whoever changed it last.
"""

from typing import Final

LEASE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owners, pulse, me = KEYS[1], KEYS[2], ARGV[1]
local lease, silence = tonumber(ARGV[2]), tonumber(ARGV[3])
local seen = tonumber(redis.call('GET', pulse) or now)
local left = tonumber(redis.call('ZSCORE', owners, me) or now) - now
-- Nobody renewed for a while, or the clock was set: whoever lived then gets his time again.
local away = now < seen or now - seen > silence
if away then
  redis.call('ZREMRANGEBYSCORE', owners, '-inf', '(' .. seen)
  for _, name in ipairs(redis.call('ZRANGE', owners, 0, -1)) do
    redis.call('ZADD', owners, now + lease, name)
  end
end
if away or left < lease - silence / 4 then
  redis.call('ZREMRANGEBYSCORE', owners, '-inf', '(' .. now)
  redis.call('ZADD', owners, now + lease, me)
  redis.call('SET', pulse, now)
end
"""
"""Renews the caller's lease, if that is due. Only changes of the clock matter, never its time."""

CHANGE: Final = """
local life, stamp = ARGV[4], ARGV[5]
local function changed(key)
  redis.call('HSET', key, '', stamp)
  redis.call('PEXPIRE', key, life)
end
local function is_held(key, name, ticket)
  local entry = redis.call('HGET', key, name)
  return entry and string.sub(entry, 1, #ticket + 1) == ticket .. ' ', entry
end
"""

RENEW: Final = LEASE + "return 1"

READ: Final = (
    LEASE
    + """
local messages = {}
for i = 3, #KEYS do
  messages[i - 2] = redis.call('HGETALL', KEYS[i])
end
return {redis.call('ZRANGEBYSCORE', owners, now, '+inf'), messages}
"""
)
"""Returns who lives, and all that is known of each message."""

GRANT: Final = (
    LEASE
    + CHANGE
    + """
local done, at = {}, 6
for i = 3, #KEYS do
  local count = tonumber(ARGV[at + 1])
  local as_read = (redis.call('HGET', KEYS[i], '') or '') == ARGV[at]
  if as_read then
    for n = at + 2, at + 2 * count, 2 do
      redis.call('HSET', KEYS[i], ARGV[n], ARGV[n + 1])
    end
    changed(KEYS[i])
  end
  done[i - 2] = as_read and 1 or 0
  at = at + 2 + 2 * count
end
return done
"""
)
"""Writes entries of each message whose stamp is still the one that was read: 1, else 0."""

SENDING: Final = (
    LEASE
    + CHANGE
    + """
for n = 7, #ARGV, 2 do
  if not is_held(KEYS[3], ARGV[n], ARGV[6]) then return 0 end
end
for n = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[n], ARGV[n + 1])
end
changed(KEYS[3])
return 1
"""
)
"""Writes entries of one message if its claim still holds every one of them: 1, else 0."""

END: Final = (
    LEASE
    + CHANGE
    + """
local at = 6
for i = 3, #KEYS do
  local ticket, count = ARGV[at], tonumber(ARGV[at + 1])
  for n = at + 2, at + 2 * count, 2 do
    local held, entry = is_held(KEYS[i], ARGV[n], ticket)
    -- One that is gone went with Redis' disk: nobody else can have claimed it.
    if held or not entry then
      redis.call('HSET', KEYS[i], ARGV[n], ARGV[n + 1])
      changed(KEYS[i])
    end
  end
  at = at + 2 + 2 * count
end
return 1
"""
)
"""Writes those entries of each message that its claim still holds."""

SETTLE: Final = """
if redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  for i = 3, #KEYS do
    redis.call('INCR', KEYS[i])
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
  end
end
return 1
"""
"""Ends an owner's lease and counts its deaths, once. Keys: owners, its mark, what it had in hands.
Arguments: the owner, an entry's life in ms."""

ALL: Final = (RENEW, READ, GRANT, SENDING, END, SETTLE)
