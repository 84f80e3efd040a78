// A story in a file of its own: nothing is asked of anybody.

import { StoryView } from "./story.js";

const here = (span) => (span ? `#${span}` : "#");
const view = new StoryView(document.getElementById("main"), { here, away: () => null, home: () => null });
const follow = () => {
  const span = location.hash.slice(1);
  if (span) view.choose(span, { focus: true, details: true });
};

view.show(JSON.parse(document.getElementById("story").textContent));
addEventListener("hashchange", follow);
follow();
