/** Plain data, frozen through and through: scenarios and networks are shared and never changed. */
export function deepFreeze<Value>(value: Value): Value {
  if (isOpen(value)) freezeParts(value);
  return value;
}

function freezeParts(value: object): void {
  Object.freeze(value);
  // Most parts are text and numbers, of which a large network has a million: a look at them is all they cost.
  const parts: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  for (const part of parts) if (isOpen(part)) freezeParts(part);
}

function isOpen(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Object.isFrozen(value);
}
