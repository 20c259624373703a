// While a hand moves, a frame must not take longer than the screen waits for it. Where drawing everything would, the thing
// under the hand is drawn in every frame and the others in turn, one or a few frames later.

const FRAME_MS_MAX = 14;
const FRAME_MS_CALM = 9;

export class FrameBudget {
  constructor() {
    this.perFrame = Infinity;
    this.turn = 0;
    this.isPartial = false;
  }

  // Those of `things` to draw in this frame. `first`: the one under the hand, or undefined.
  pick(things, isMoving, first) {
    if (!isMoving || things.length <= this.perFrame) {
      this.isPartial = false;
      return things;
    }
    this.isPartial = true;
    const others = things.filter((thing) => thing !== first);
    const picked = first === undefined ? [] : [first];
    while (picked.length < this.perFrame) picked.push(others[this.turn++ % others.length]);
    return picked;
  }

  // What a frame took in which `drawn` of `all` things were drawn while a hand moved.
  spent(frameMs, drawn, all) {
    if (frameMs > FRAME_MS_MAX) this.perFrame = Math.max(1, Math.floor((drawn * FRAME_MS_MAX) / frameMs));
    else if (frameMs < FRAME_MS_CALM) this.perFrame = drawn + 1 >= all ? Infinity : drawn + 1;
  }
}
