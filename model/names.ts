/**
 * What may be a name, and which name a misspelt one was meant to be. Names end up as host names, in /etc/hosts, in
 * paths and on command lines: the rule is RFC 1123's for a label, in lower case, and `--` is kept for the names that
 * Luthier makes itself (`h1--s1`), so that those never collide with a user's.
 *
 * Used by the scenario's schema, by `control/` and by `cli/`.
 */

/** A network, node, machine, link or LAN. Also what the JSON Schema says. */
export const NAME_PATTERN = /^(?!.*--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A port of a host or router: Linux numbers them from `eth0`. */
export const PORT_PATTERN = /^eth(0|[1-9][0-9]{0,3})$/;

/** Why `name` cannot be a name, and what would be one; undefined when it can. */
export function nameProblem(name: string): { readonly message: string; readonly hint: string } | undefined {
  if (NAME_PATTERN.test(name)) return undefined;
  const repaired = name
    .slice(0, 1000)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-|-$/g, '');
  const rule = 'a name is 1 to 63 of a-z, 0-9 and single hyphens between them';
  return {
    message: `${quoted(name)} is not a name`,
    hint: repaired === '' ? rule : `${rule}: ${quoted(repaired)}`,
  };
}

/** `text` as a message shows it: quoted, control characters escaped, cut when long. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** Comparing takes the product of both lengths: among tens of thousands of long names, only the first are looked at. */
const MOST_COMPARISONS = 20_000_000;

/**
 * The candidate that `word` was most likely meant to be: the fewest insertions, deletions, replacements and swaps of
 * neighbours away, at most a third of its length; the first of equals.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  let comparisons = 0;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    comparisons += candidate.length * word.length;
    if (comparisons > MOST_COMPARISONS) break;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `did you mean "h1"?` where something is near, else what there is, else undefined. */
export function suggestion(word: string, candidates: Iterable<string>): string | undefined {
  const all = [...candidates];
  const near = nearest(word, all);
  if (near !== undefined) return `did you mean ${quoted(near)}?`;
  if (all.length === 0) return undefined;
  const shown = all.slice(0, 20).join(', ');
  return all.length > 20 ? `there are ${shown} and ${all.length - 20} more` : `there is ${shown}`;
}

/** Optimal string alignment: Levenshtein's distance with swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let distance = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, beforePrevious[j - 2]! + 1);
      }
      row.push(distance);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length]!;
}
