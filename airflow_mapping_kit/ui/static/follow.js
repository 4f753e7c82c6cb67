// Asks again by itself: often while something is at work, seldom else, not at all while nobody looks.

const BUSY = 5_000;
const CALM = 60_000;
const SOON = 2_000;
const LONGEST = 120_000;

export class Follow {
  /** `read()` asks the server; it returns whether something is at work, and throws where it can't be asked. */
  constructor(read) {
    this.read = read;
    this.failures = 0;
    this.soon = 0;
    this.seen = () => { if (!document.hidden) this.now(); };
  }

  start() {
    document.addEventListener("visibilitychange", this.seen);
    addEventListener("online", this.seen);
    return this.now();
  }

  stop() {
    clearTimeout(this.timer);
    this.stopped = true;
    document.removeEventListener("visibilitychange", this.seen);
    removeEventListener("online", this.seen);
  }

  /** Something was cleared or started: the next looks come soon. */
  hurry() {
    this.soon = 5;
    return this.now();
  }

  async now() {
    clearTimeout(this.timer);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    let busy = false;
    try {
      busy = await this.read();
      this.failures = 0;
    } catch {
      this.failures += 1;
    }
    if (turn !== this.turn || this.stopped || document.hidden) return;
    const wait = this.failures ? Math.min(LONGEST, BUSY * 2 ** (this.failures - 1)) : this.soon-- > 0 ? SOON : busy ? BUSY : CALM;
    this.timer = setTimeout(() => (document.hidden ? null : this.now()), wait);
  }
}
