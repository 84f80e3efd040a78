// A story's spans as rows: which are shown, where each begins and ends. Nothing of the DOM here.

const AT_A_TIME = 200; // spans that one press brings out of a fold

export class Tree {
  constructor() {
    this.closed = new Set();
    this.opened = new Map(); // fold → how many of it are shown
    this.scale = "trace";
  }

  tell(story) {
    this.story = story;
    this.nodes = new Map();
    this.above = new Map(); // key → the nodes and folds it is in
    this.leads = new Map(); // span → the spans that it set off elsewhere
    const walk = (items, above, root) => {
      for (const item of items) {
        const top = root ?? (item.fold ? undefined : item);
        this.above.set(item.key, above);
        if (!item.fold) {
          this.nodes.set(item.key, item);
          item.root = top.key;
          for (const link of item.links) this.leads.set(link.span, [...(this.leads.get(link.span) ?? []), item]);
        }
        walk(item.items, [...above, item], top);
      }
    };
    walk(story.items, [], undefined);
    this.now = Math.max(story.seconds, (story.asked - story.began) / 1e3);
    this.windows = new Map();
    for (const node of this.nodes.values()) {
      const end = this.known(node);
      const [from, to] = this.windows.get(node.root) ?? [node.at, end];
      this.windows.set(node.root, [Math.min(from, node.at), Math.max(to, end)]);
    }
  }

  known(node) {
    if (node.seconds !== null) return node.at + node.seconds;
    return node.state === "open" ? this.now : node.at;
  }

  window(node) {
    if (this.scale === "trace") return this.windows.get(node.root);
    return [0, Math.max(...[...this.windows.values()].map(([, to]) => to))];
  }

  // Left and width of its bar, of 1.
  bar(node) {
    const [from, to] = this.window(node);
    const all = Math.max(to - from, 1e-9);
    // Of one that died nobody knows the end: at most that of its trace.
    const end = node.seconds === null && node.state !== "open" ? this.windows.get(node.root)[1] : this.known(node);
    return [(node.at - from) / all, Math.max(end - node.at, 0) / all];
  }

  rows() {
    const rows = [];
    const add = (items, level, parent) => {
      let size = 0;
      const siblings = [];
      for (const item of items) {
        if (!item.fold) {
          siblings.push([item]);
          continue;
        }
        const shown = this.opened.get(item.key) ?? 0;
        for (const node of item.items.slice(0, shown)) siblings.push([node]);
        if (shown < item.items.length || item.cut) siblings.push([item, item.items.length - shown]);
      }
      size = siblings.length;
      siblings.forEach(([item, left], position) => {
        rows.push({ item, key: item.key, level, parent, left, position: position + 1, size, last: position + 1 === size });
        if (!item.fold && !this.closed.has(item.key)) add(item.items, level + 1, item.key);
      });
    };
    add(this.story.items, 1, "");
    return rows;
  }

  words(fold, left) {
    if (left <= 0 || !fold.items.length) return `… ${fold.cut} more are not in this view`;
    return left === fold.items.length ? fold.fold : `… ${left} more`;
  }

  unfold(fold) {
    const shown = this.opened.get(fold.key) ?? 0;
    this.opened.set(fold.key, Math.min(fold.items.length, shown + AT_A_TIME));
    return fold.items[shown]?.key;
  }

  // Whatever hides a span gives way.
  reveal(key) {
    const above = this.above.get(key) ?? [];
    above.forEach((item, depth) => {
      if (!item.fold) {
        this.closed.delete(item.key);
        return;
      }
      const next = above[depth + 1]?.key ?? key;
      const position = item.items.findIndex((node) => node.key === next);
      this.opened.set(item.key, Math.max(this.opened.get(item.key) ?? 0, position + 1));
    });
  }

  closeAll(wish) {
    this.closed.clear();
    if (wish) for (const node of this.nodes.values()) if (node.items.length) this.closed.add(node.key);
  }

  errorAfter(key) {
    const failed = [...this.nodes.values()].filter((node) => node.error);
    const order = [...this.nodes.keys()];
    const now = order.indexOf(key);
    return (failed.find((node) => order.indexOf(node.key) > now) ?? failed[0])?.key;
  }
}
