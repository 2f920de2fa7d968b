package rules

// Error codes; each has a page, see `cdcd errors CODE`.
const (
	codeSyntax    = "CDCD-2101" // not YAML
	codeKey       = "CDCD-2102" // unknown, missing or duplicate key
	codeValue     = "CDCD-2103" // a value that a rule cannot have
	codeColumn    = "CDCD-2104" // no such column
	codeDuplicate = "CDCD-2106" // two rules of one name
	codeCEL       = "CDCD-2107" // not an expression
	codeType      = "CDCD-2108" // types that do not fit
	codeName      = "CDCD-2109" // no such variable or function
	codeImage     = "CDCD-2110" // before of an insert, after of a delete
	codeLimit     = "CDCD-2111" // too large
	codeNoTable   = "CDCD-2112" // no such table

	codeNull    = "CDCD-2114" // warning: also true for NULL
	codeMember  = "CDCD-2115" // warning: never equal
	codeAlways  = "CDCD-2116" // warning: always true, always false, or never reached
	codeTest    = "CDCD-2118" // a test did not come out as expected
	codeFixture = "CDCD-2119" // a test's event cannot be
	codeSchema  = "CDCD-2120" // the schema file is wrong

	codeCase      = "CDCD-2121" // warning: the database ignores case
	codePath      = "CDCD-2122" // warning: a JSON document may not have it
	codeSame      = "CDCD-2123" // warning: another rule asks the same
	codeNullFails = "CDCD-2124" // warning: fails on NULL

	codeRow     = "CDCD-2131" // a condition on a row asks for something else
	codePartial = "CDCD-2132" // warning: a filter whose rows come or go unseen

	codeNoRule   = "CDCD-2133" // no rule of that name
	codeEvent    = "CDCD-2134" // an event that was written down cannot be read
	codeUntested = "CDCD-2135" // warning: a part of a condition that tests have not shown
	codeRecord   = "CDCD-2136" // a test cannot be added to the file
	codeForm     = "CDCD-2138" // a field of a rule's text cannot be changed
	codeEvery    = "CDCD-2137" // warning: evaluated on every change

	codeNoLooked  = "CDCD-2140" // no such table to look something up in
	codeSomeRow   = "CDCD-2141" // warning: which of several rows is looked up is not said
	codeTwoLooked = "CDCD-2142" // two look-ups of one name in a feed

	codeMask     = "CDCD-2150" // a method of masking does not fit the column
	codeMaskLint = "CDCD-2151" // warning: a mask that is hardly meant so

	codeEval   = "CDCD-2201" // the expression failed on the event
	codeCost   = "CDCD-2202" // the expression took too many steps
	codeStale  = "CDCD-2203" // the rule does not fit the table as it is now
	codeAnswer = "CDCD-2204" // the expression gave something else than true or false
	codeLarge  = "CDCD-2205" // the event was captured without its largest values
	codeRoute  = "CDCD-2206" // a plugin routes to a feed that the rule does not name

	codeMissing = "CDCD-2241" // a look-up found no row, and there must be one
)
