// Squad learn: fills "More like this" from the API, which Banyan routes to the same squad.
"use strict";
const more = document.querySelector("[data-more]");
if (more) {
  fetch("/api/courses").then((answer) => answer.json()).then((courses) => {
    const cards = courses.filter((course) => course.slug !== more.dataset.more).slice(0, 3).map((course) => {
      const card = document.createElement("a");
      card.className = "card";
      card.href = "/courses/" + encodeURIComponent(course.slug);
      for (const [kind, text] of [["b", course.title], ["span", course.summary]]) {
        card.append(Object.assign(document.createElement(kind), { textContent: text }));
      }
      return card;
    });
    more.replaceChildren(...cards);
  }).catch(() => { /* the link to all courses stays */ });
}
