"""What a process tells of its map."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.metrics import counter, gauge

MAP_REVISION: Final = gauge("map_revision", "etcd revision that the map in use reflects")
MAP_AGE_S: Final = gauge("map_age_s", "Seconds since the control store last confirmed the map")
MAP_ENTRIES_MALFORMED: Final = gauge(
    "map_entries_malformed", "Keys whose value could not be read; their last good entry is used"
)
MAP_RELISTS: Final = counter("map_relists", "Times the whole map was read anew")
MAP_STREAM_BREAKS: Final = counter("map_stream_breaks", "Times the watch broke and was resumed")
MAP_AUDITS: Final = counter("map_audits", "Times the map was compared with the control store")
MAP_AUDIT_DIFFS: Final = counter("map_audit_diffs", "Differences that audits found; anything but 0 is a defect")
