/** What is going to happen, in order of time: the simulator's loop. Instants are true time, epoch milliseconds. */

interface Entry {
  time: number;
  order: number;
  action: () => void;
}

/** A queue of things to do. */
export interface Agenda {
  /** True time. */
  readonly now: number;
  /** Does something at a time; what lies in the past is done at once, after what is already due. */
  at(time: number, action: () => void): void;
  runUntil(time: number): void;
}

/** An empty agenda that begins at a time. */
export function agendaFrom(begin: number): Agenda {
  const heap: Entry[] = [];
  let now = begin;
  let order = 0;
  return {
    get now() {
      return now;
    },
    at(time, action) {
      push(heap, { time: Math.max(time, now), order: order++, action });
    },
    runUntil(time) {
      for (let first = heap[0]; first !== undefined && first.time <= time; first = heap[0]) {
        pop(heap);
        now = first.time;
        first.action();
      }
      now = Math.max(now, time);
    },
  };
}

function before(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

function push(heap: Entry[], entry: Entry): void {
  let index = heap.length;
  heap.push(entry);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const above = heap[parent] as Entry;
    if (!before(entry, above)) break;
    heap[index] = above;
    index = parent;
  }
  heap[index] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
    if (!before(heap[child] as Entry, last)) break;
    heap[index] = heap[child] as Entry;
    index = child;
  }
  heap[index] = last;
}
