// Partition keys, `date=2013-01-01/origin=LGA`, written and read as partitions/keys.py does.

const NONE = "__HIVE_DEFAULT_PARTITION__";
const ODD = /["#%'*/:=?\\{[\]^\x00-\x1f\x7f]/g;

const escape = (text) => text.replace(ODD, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);

/** The key of values, in the order of their dimensions. `NULL` in any case is escaped, for readers that take it for nothing. */
export function keyOf(names, values) {
  return names
    .map((name, n) => [name, values[n]])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${escape(name)}=${/^null$/i.test(value) ? `%${value.charCodeAt(0).toString(16).toUpperCase()}${value.slice(1)}` : value === NONE ? NONE : escape(value)}`)
    .join("/");
}

/** What a key says of each dimension, `{date: "2013-01-01", …}`; `null` where it isn't one. */
export function parsed(key) {
  const found = {};
  for (const part of key.split("/")) {
    const at = part.indexOf("=");
    if (at < 1) return null;
    const [name, value] = [part.slice(0, at), part.slice(at + 1)].map((text) =>
      text.replace(/%([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(parseInt(code, 16))));
    found[name] = value;
  }
  return found;
}
