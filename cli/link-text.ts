/** What links do to frames, for people: the words of a scenario. Pure. */
import { settingsText, type RawLinkProperties } from '../model/link-properties.js';
import type { LinkSettings } from '../model/messages.js';

type Ways = Pick<LinkSettings, 'ends' | 'forward' | 'reverse'>;

/** A line where both directions are the same, else one for each. */
export function linkLines({ ends, forward, reverse }: Ways): string[] {
  const [there, back] = [propertiesText(forward), propertiesText(reverse)];
  if (there === back) return [`both ways: ${there}`];
  return [`${ends[0]} → ${ends[1]}: ${there}`, `${ends[1]} → ${ends[0]}: ${back}`];
}

export function propertiesText(properties: RawLinkProperties): string {
  return settingsText(properties) || 'as a cable';
}
