package rules

import "regexp"

// caseSensitive are the ids below 2048 of the collations of both servers that tell upper from lower case: their names end
// in _bin, _cs or _as_cs, or say binary. The others ignore case.
var caseSensitive = []uint16{
	2, 20, 34, 42, 43, 46, 47, 49, 50, 52, 53, 55, 58, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 77, 78,
	79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 93, 96, 98, 249, 278, 279, 280, 281, 282, 283, 284, 285, 286, 287,
	288, 289, 290, 291, 292, 293, 294, 296, 297, 298, 300, 303, 304, 307, 308, 309, 311, 313, 315, 317, 319, 321, 323,
	578, 610, 642, 674, 738, 1067, 1070, 1071, 1074, 1077, 1079, 1082, 1085, 1086, 1088, 1089, 1090, 1091, 1092, 1093,
	1094, 1095, 1096, 1097, 1098, 1099, 1101, 1102, 1103, 1104, 1105, 1106, 1107, 1108, 1109, 1110, 1111, 1112, 1113,
	1114, 1115, 1117, 1120, 1122,
}

// collateText finds the collation in a column's type where a schema file says it.
var collateText = regexp.MustCompile(`\bcollate\s+(\w+)`)
