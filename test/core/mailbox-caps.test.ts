// The limits of one mailbox (the table of protocol section 3), each at both sides of its number,
// and what makes room: only what is acknowledged, oldest first, no more than is needed. The numbers
// are written out here: they are promises, not whatever `limits.ts` says.
import t, { type Test } from 'tap'
import { type Letter, Mailbox } from '../../src/core/mailbox.ts'
import { NOON } from '../helpers/clock.ts'
import { type LetterParts, makeLetter, makeNotice, seqOf, seqsOf } from '../helpers/letters.ts'

const KIB = 1024
const MIB = 1024 * KIB
const MINUTE = 60_000

function makeBox() {
  const gone: number[] = []
  const onGone = (letter: Letter) => gone.push(seqOf(letter))
  const box = new Mailbox(1, 'store-restarted', 1, { onRead: () => {}, onGone })
  let seq = 0
  /** Keeps `count` letters. @returns how many were kept */
  const post = (count: number, parts: (at: number) => LetterParts = () => ({}), now = NOON) => {
    let kept = 0
    for (let at = 0; at < count; at++) {
      seq += 1
      const made = parts(at)
      const letter = made.reserved ? makeNotice({ seq, ...made }) : makeLetter({ seq, ...made })
      if ('id' in box.append(letter, now)) kept += 1
    }
    return kept
  }
  const acknowledge = (count: number) =>
    box.acknowledge(box.read(0, 256, NOON).entries.slice(0, count).at(-1)?.id ?? 0)
  return { box, gone, post, acknowledge }
}

/** Names of enough senders that none of them reaches the cap of one sender. */
const many = (at: number) => ({ from: `sender${at % 8}` })
const guests = (at: number) => ({ from: `guest-${at % 8}`, guest: true })

interface Cap {
  name: string
  /** What fills the mailbox up to its cap. */
  count: number
  parts: (at: number) => LetterParts
  /** What does not fit any more. */
  next: LetterParts
  /** What fits all the same. */
  other?: LetterParts
}

const caps: Cap[] = [
  {
    name: '64 unread messages of one sender',
    count: 64,
    parts: () => ({ from: 'alice' }),
    next: { from: 'alice' },
    other: { from: 'bob' },
  },
  {
    name: '256 KiB unread of one sender',
    count: 4,
    parts: () => ({ from: 'alice', bytes: 64 * KIB }),
    next: { from: 'alice', bytes: 1 },
    other: { from: 'bob', bytes: 64 * KIB },
  },
  {
    name: '128 unread messages of all guests',
    count: 128,
    parts: guests,
    next: { from: 'guest-9', guest: true },
    other: { from: 'bob' },
  },
  {
    name: '512 KiB unread of all guests',
    count: 8,
    parts: (at) => ({ ...guests(at), bytes: 64 * KIB }),
    next: { from: 'guest-9', guest: true, bytes: 1 },
    other: { from: 'bob', bytes: 64 * KIB },
  },
  { name: '256 unread messages', count: 256, parts: many, next: { from: 'bob' } },
  {
    name: '1 MiB unread',
    count: 16,
    parts: (at) => ({ ...many(at), bytes: 64 * KIB }),
    next: { from: 'bob', bytes: 1 },
  },
]

for (const { name, count, parts, next, other } of caps) {
  t.test(`a mailbox takes ${name}`, async (t) => {
    const { gone, post, acknowledge } = makeBox()
    t.equal(post(count, parts), count, 'all up to the number are kept')
    t.equal(
      post(1, () => next),
      0,
      'the next one is refused',
    )
    t.same(gone, [], 'nothing unread makes room')
    if (other)
      t.equal(
        post(1, () => other),
        1,
        'it does not hinder others',
      )
    t.equal(
      post(1, () => ({ reserved: true })),
      1,
      'nor the server',
    )
    acknowledge(1)
    t.equal(
      post(1, () => next),
      1,
      'one that was read makes room',
    )
  })
}

t.test('a byte less than the cap fits', async (t) => {
  const fits = (parts: (at: number) => LetterParts, count: number, free: number) => {
    const { post } = makeBox()
    post(count - 1, parts)
    post(1, (at) => ({ ...parts(at), bytes: 64 * KIB - free }))
    const last = { ...parts(count), bytes: free }
    return [post(1, () => ({ ...last, bytes: free + 1 })), post(1, () => last)]
  }
  const large = (parts: (at: number) => LetterParts) => (at: number) => ({
    ...parts(at),
    bytes: 64 * KIB,
  })
  t.same(
    fits(
      large(() => ({})),
      4,
      10,
    ),
    [0, 1],
    '256 KiB of one sender, to the byte',
  )
  t.same(fits(large(guests), 8, 10), [0, 1], '512 KiB of all guests, to the byte')
  t.same(fits(large(many), 16, 10), [0, 1], '1 MiB, to the byte')
})

t.test('a refusal', async (t) => {
  const retryAfter = (expiresAt: number, now: number) => {
    const { box, post } = makeBox()
    post(64, (at) => ({ expiresAt: at === 7 ? expiresAt : NOON + 60 * MINUTE }))
    const refused = box.append(makeLetter(), now)
    return 'retryAfterMs' in refused ? refused.retryAfterMs : undefined
  }

  t.test('says when the first unread one goes', async (t) => {
    t.equal(retryAfter(NOON + MINUTE, NOON), MINUTE)
    t.equal(retryAfter(NOON + MINUTE, NOON + 20_000), 40_000)
  })

  t.test('asks for a second at least', async (t) => {
    t.equal(retryAfter(NOON + MINUTE, NOON + MINUTE - 1), 1000)
  })

  t.test('changes nothing', async (t) => {
    const { box, post } = makeBox()
    post(64)
    const before = box.read(0, 256, NOON)
    t.equal(post(1), 0)
    t.same(box.read(0, 256, NOON), before)
  })
})

t.test('what is acknowledged makes room', async (t) => {
  t.test('oldest first and only as needed', async (t) => {
    const { box, gone, post, acknowledge } = makeBox()
    post(256, many)
    acknowledge(10)
    t.same(gone, [], 'not before it is needed')
    t.equal(post(3, many), 3)
    t.same(gone, [1, 2, 3])
    t.equal(box.size, 256)
  })

  t.test('as many as the bytes need', async (t) => {
    const { gone, post, acknowledge } = makeBox()
    post(3, (at) => ({ ...many(at), bytes: 30 * KIB }))
    post(15, (at) => ({ ...many(at), bytes: 62 * KIB }))
    acknowledge(4)
    t.equal(
      post(1, () => ({ from: 'bob', bytes: 63 * KIB })),
      1,
    )
    t.same(gone, [1, 2], 'two of 30 KiB for one of 63')
  })

  t.test('but nothing unread does', async (t) => {
    const { gone, post, acknowledge } = makeBox()
    post(256, many)
    acknowledge(2)
    t.equal(post(3, many), 2)
    t.same(gone, [1, 2])
  })

  t.test('and does not count for its sender', async (t) => {
    const { box, post, acknowledge } = makeBox()
    for (let round = 1; round <= 4; round++) {
      t.equal(post(64), 64, `round ${round}`)
      acknowledge(256)
    }
    t.equal(box.size, 256)
  })

  t.test('and does not count for guests', async (t) => {
    const { post, acknowledge } = makeBox()
    t.equal(post(128, guests), 128)
    acknowledge(128)
    t.equal(post(128, guests), 128)
  })
})

t.test('the places of @server', async (t) => {
  const notice = () => ({ reserved: true })

  t.test('are 64 more in a full mailbox', async (t) => {
    const { box, gone, post } = makeBox()
    post(256, many)
    t.equal(post(64, notice), 64)
    t.equal(box.size, 320)
    t.same(gone, [])
  })

  t.test('are given up oldest first, and that is told', async (t) => {
    const { box, gone, post } = makeBox()
    const { cursor } = box.read(0, 256, NOON)
    post(2, many)
    t.equal(post(65, notice), 65)
    t.same(gone, [3], 'the first of the server')
    t.equal(box.read(cursor, 256, NOON).reset, 'evicted')
  })

  t.test('tell nobody who had read what went', async (t) => {
    const { box, gone, post, acknowledge } = makeBox()
    post(64, notice)
    acknowledge(1)
    const { acknowledged } = box
    post(1, notice)
    t.same(gone, [1])
    t.equal(box.read(acknowledged, 256, NOON).reset, undefined)
  })

  t.test('make no room for peers', async (t) => {
    const { gone, post, acknowledge } = makeBox()
    post(64, notice)
    acknowledge(64)
    t.equal(post(256, many), 256)
    t.equal(post(1, many), 0)
    t.same(gone, [])
  })

  t.test('stay when peers need room', async (t) => {
    const { gone, post, acknowledge } = makeBox()
    post(1, notice)
    post(256, many)
    acknowledge(3)
    t.equal(post(1, many), 1)
    t.same(gone, [2], 'the oldest of a peer, not the older one of the server')
  })

  t.test('are not taken by peers', async (t) => {
    const { post } = makeBox()
    t.equal(post(300, many), 256)
  })

  t.test('have no cap of bytes', async (t: Test) => {
    const { box, gone, post } = makeBox()
    t.equal(
      post(64, () => ({ reserved: true, bytes: 64 * KIB })),
      64,
    )
    t.equal(
      post(16, (at) => ({ ...many(at), bytes: 64 * KIB })),
      16,
      '1 MiB of peers beside',
    )
    t.same(gone, [])
    t.same(seqsOf(box.read(0, 256, NOON).entries).length, 80)
    t.ok(64 * 64 * KIB > MIB)
  })
})
