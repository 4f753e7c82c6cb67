"""Selections: some of the partitions, as people write them.

```text
origin=EWR,JFK date=2013-01-01..2013-01-31
```

The same language on the command line, in the page, in the trigger form and in a run's `conf`. Pure: it knows
partitions as names and values, and nothing of Airflow.

```text
selection = [ term { space term } ]                     every term is true of it
term      = [ "!" ] ( condition | keys | words )        "!": it is not
condition = dimension [ "!" ] "=" item { "," item }     the value is (not) one of the items
item      = value                                       that value; a period stands for all that touch it
          | pattern                                     * any characters, ? one
          | [ bound ] ".." [ bound ]                    from one to the other, both included
          | "NULL"                                      no value
keys      = key { "," key }                             one of these partitions, as their keys are printed
key       = dimension "=" value { "/" dimension "=" value }
words     = word { "," word }                           label, key or a value has one of these in it
```

A name, value, bound or word is text without space, comma, quote, `=` and `..`, or text in double quotes, where two
of them are one (`"12"" pipe"`). What is quoted, also in part, is meant as it stands: `"2013-01"` is not January's
days, `"*"` no wildcard, `"NULL"` a text. As in keys `%2C` is a comma, wherever it isn't quoted.
"""

from __future__ import annotations

from airflow_mapping_kit.partitions.selection.rectangles import rectangles_of, selection_of, selections_of
from airflow_mapping_kit.partitions.selection.selection import Selection

__all__ = ["Selection", "rectangles_of", "selection_of", "selections_of"]
