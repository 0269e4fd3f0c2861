// What a reader sees, measured in the page. Each function returns complaints.
window.looks = (() => {
  const rgba = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    return parts.length === 4 ? parts : [...parts, 1];
  };
  const over = (top, under) =>
    [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const color = rgba(getComputedStyle(each).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under));
  };
  const isSeen = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && element.checkVisibility();
  };
  const texts = () => {
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      const isText = walker.currentNode.textContent.trim() && !parent.closest("script, title");
      if (isText && isSeen(parent)) found.add(parent);
    }
    return [...found];
  };
  const name = (element) => `${element.tagName} "${element.textContent.trim().slice(0, 40)}"`;

  return {
    // WCAG 2.2, 1.4.3: 4.5, or 3 for large letters.
    weakTexts: () => texts().flatMap((element) => {
      const style = getComputedStyle(element);
      const color = rgba(element instanceof SVGElement ? style.fill : style.color);
      const size = parseFloat(style.fontSize);
      const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      const found = ratio(over(color, ground(element)), ground(element));
      return found < least ? [`${name(element)}: ${found.toFixed(2)} of ${least}`] : [];
    }),
    // WCAG 2.2, 1.4.11: what carries meaning has 3 against what is beside it.
    weakShapes: () =>
      [...document.querySelectorAll(
        "path.line, path.bars, path.wait:not(.range), .spots ~ line, line.level, rect.compute, rect.wait, rect.fill, line.base",
      )].flatMap((element) => {
        const style = getComputedStyle(element);
        const paint = element.matches("line, path.line") ? style.stroke : style.fill;
        const found = ratio(rgba(paint), ground(element.closest("div, td, section")));
        return found < 3 ? [`${element.getAttribute("class")}: ${found.toFixed(2)}`] : [];
      }),
    countTexts: () => texts().length,
    // What sticks out at the right without a way to scroll to it.
    outside: () => {
      const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
      const edge = document.documentElement.clientWidth + 0.5;
      const out = texts().filter((each) =>
        !each.closest(".scroll, .skip, .unseen") && each.getBoundingClientRect().right > edge);
      return [...(wide ? ["the page scrolls sideways"] : []), ...out.map(name)];
    },
    // Letters of one plot that lie on each other.
    overlaps: () => [...document.querySelectorAll("svg.field")].flatMap((field) => {
      const labels = [...field.querySelectorAll("text")].filter(isSeen);
      const boxes = labels.map((each) => each.getBoundingClientRect());
      return labels.flatMap((label, i) => labels.slice(i + 1).flatMap((other, k) => {
        const [a, b] = [boxes[i], boxes[i + 1 + k]];
        const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
        return apart ? [] : [`${label.textContent} on ${other.textContent}`];
      }));
    }),
    // WCAG 2.2, 2.5.8: 24 by 24 pixels.
    smallTargets: () =>
      [...document.querySelectorAll("button, nav a, summary")].filter(isSeen).flatMap((each) => {
        const box = each.getBoundingClientRect();
        return box.height < 24 || box.width < 24 ? [`${name(each)} ${box.width}x${box.height}`] : [];
      }),
  };
})();
