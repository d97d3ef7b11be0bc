package demo

// category is a shelf of the shop.
type category struct {
	name, code string
	kinds      []kind
}

// kind is something that comes in several variants, each of which is a product.
type kind struct {
	name, about string
	variants    [5]string
}

var catalogue = []category{
	{"Hand tools", "HTL", []kind{
		{"Claw hammer", "Forged steel head on a hickory handle.", [5]string{"300 g", "450 g", "570 g", "680 g", "800 g"}},
		{"Screwdriver", "Hardened tip, soft grip.", [5]string{"PH1", "PH2", "slotted 4 mm", "slotted 6 mm", "TX20"}},
		{"Combination pliers", "Chrome vanadium, with insulated handles.", [5]string{"140 mm", "160 mm", "180 mm", "200 mm", "225 mm"}},
		{"Ring spanner", "Cranked, polished, DIN 838.", [5]string{"8 mm", "10 mm", "13 mm", "17 mm", "19 mm"}},
		{"Handsaw", "Triple-ground teeth that cut on push and pull.", [5]string{"300 mm", "380 mm", "450 mm", "500 mm", "550 mm"}},
	}},
	{"Power tools", "PTL", []kind{
		{"Cordless drill", "Two gears, LED light, without battery.", [5]string{"12 V", "18 V", "18 V brushless", "18 V hammer", "36 V"}},
		{"Angle grinder", "Restart protection and a guard that turns without a tool.", [5]string{"115 mm", "125 mm", "125 mm 1400 W", "150 mm", "230 mm"}},
		{"Jigsaw", "Four-stage pendulum action.", [5]string{"500 W", "650 W", "750 W", "cordless 12 V", "cordless 18 V"}},
		{"Battery pack", "Lithium-ion, with a charge display.", [5]string{"2.0 Ah", "3.0 Ah", "4.0 Ah", "5.0 Ah", "8.0 Ah"}},
		{"Random orbit sander", "For discs of 125 mm, with a dust box.", [5]string{"240 W", "300 W", "350 W", "400 W", "cordless"}},
	}},
	{"Fasteners", "FST", []kind{
		{"Wood screws, box of 200", "Countersunk, zinc-plated, TX drive.", [5]string{"3.5 x 30", "4.0 x 40", "4.5 x 50", "5.0 x 60", "6.0 x 80"}},
		{"Hexagon bolts, box of 50", "Steel 8.8, with nuts.", [5]string{"M6 x 40", "M8 x 50", "M8 x 80", "M10 x 60", "M12 x 80"}},
		{"Wall plugs, box of 100", "Nylon, for brick and concrete.", [5]string{"5 mm", "6 mm", "8 mm", "10 mm", "12 mm"}},
		{"Nails, 1 kg", "Bright steel, flat head.", [5]string{"2.0 x 40", "2.5 x 50", "2.8 x 65", "3.4 x 90", "4.2 x 110"}},
		{"Washers, box of 100", "Zinc-plated, DIN 125.", [5]string{"M5", "M6", "M8", "M10", "M12"}},
	}},
	{"Electrical", "ELC", []kind{
		{"Extension lead", "Three sockets, H07RN-F, for outdoors.", [5]string{"3 m", "5 m", "10 m", "15 m", "25 m"}},
		{"LED bulb E27", "Warm white, 15,000 hours.", [5]string{"470 lm", "806 lm", "1055 lm", "1521 lm", "2000 lm"}},
		{"Installation cable, ring", "NYM-J, grey.", [5]string{"3 x 1.5 25 m", "3 x 1.5 50 m", "3 x 2.5 25 m", "3 x 2.5 50 m", "5 x 1.5 50 m"}},
		{"Circuit breaker", "One pole, for the 35 mm rail.", [5]string{"B6", "B10", "B13", "B16", "C16"}},
		{"Junction box", "For the wet room, IP65, with grommets.", [5]string{"75 mm", "85 mm", "100 mm", "150 mm", "200 mm"}},
	}},
	{"Plumbing", "PLB", []kind{
		{"Copper pipe, 2.5 m", "Half-hard, EN 1057.", [5]string{"12 mm", "15 mm", "18 mm", "22 mm", "28 mm"}},
		{"Ball valve", "Nickel-plated brass with a lever.", [5]string{"3/8 inch", "1/2 inch", "3/4 inch", "1 inch", "1 1/4 inch"}},
		{"Flexible hose", "Braided stainless steel, 3/8 inch.", [5]string{"30 cm", "40 cm", "50 cm", "60 cm", "80 cm"}},
		{"Basin mixer", "Ceramic cartridge, saves water.", [5]string{"chrome", "matt black", "brushed steel", "high spout", "with pull-out spray"}},
		{"Pipe clip, bag of 20", "With a rubber lining.", [5]string{"12 mm", "15 mm", "18 mm", "22 mm", "28 mm"}},
	}},
	{"Paint", "PNT", []kind{
		{"Wall paint, white", "Covers in one coat, solvent-free.", [5]string{"1 l", "2.5 l", "5 l", "10 l", "12.5 l"}},
		{"Wood stain", "For outdoors, keeps water off.", [5]string{"pine", "oak", "walnut", "teak", "anthracite"}},
		{"Flat brush", "Bristle and polyester mixed.", [5]string{"25 mm", "40 mm", "50 mm", "70 mm", "100 mm"}},
		{"Paint roller", "Microfibre, with a handle.", [5]string{"10 cm", "15 cm", "18 cm", "25 cm", "27 cm"}},
		{"Masking tape, 50 m", "Comes off without a trace for 14 days.", [5]string{"19 mm", "25 mm", "30 mm", "38 mm", "50 mm"}},
	}},
	{"Garden", "GRD", []kind{
		{"Garden hose", "Knitted, does not kink, UV-resistant.", [5]string{"10 m", "15 m", "20 m", "25 m", "50 m"}},
		{"Spade", "Tempered blade, ash handle.", [5]string{"child", "ladies", "gardener", "drainage", "bricklayer"}},
		{"Plant pot", "Terracotta, frost-proof.", [5]string{"14 cm", "18 cm", "24 cm", "30 cm", "40 cm"}},
		{"Lawn seed", "Grows in two weeks, for 20 g a square metre.", [5]string{"shade 1 kg", "sport 1 kg", "play 2 kg", "repair 2 kg", "universal 10 kg"}},
		{"Secateurs", "Bypass blades, hardened and coated.", [5]string{"small", "medium", "large", "left-handed", "with ratchet"}},
	}},
	{"Safety", "SFT", []kind{
		{"Work gloves", "Nitrile-coated, EN 388.", [5]string{"size 7", "size 8", "size 9", "size 10", "size 11"}},
		{"Safety shoes S3", "Steel cap, slip-resistant sole.", [5]string{"size 39", "size 41", "size 42", "size 43", "size 45"}},
		{"Safety glasses", "Scratch-resistant, EN 166.", [5]string{"clear", "tinted", "yellow", "over-glasses", "sealed"}},
		{"High-visibility vest", "Two reflective bands, EN ISO 20471.", [5]string{"S yellow", "M yellow", "L yellow", "XL yellow", "L orange"}},
		{"Respirator, box of 10", "Folded, with a valve, EN 149.", [5]string{"FFP1", "FFP2", "FFP2 active carbon", "FFP3", "FFP3 reusable"}},
	}},
	{"Storage", "STR", []kind{
		{"Stacking box", "Polypropylene, for food, with a lid.", [5]string{"5 l", "10 l", "20 l", "45 l", "65 l"}},
		{"Steel shelf", "Five levels, 175 kg each, no screws.", [5]string{"75 x 30", "90 x 40", "100 x 40", "120 x 50", "160 x 60"}},
		{"Tool case", "With a tray and two locks.", [5]string{"13 inch", "16 inch", "19 inch", "22 inch", "on wheels"}},
		{"Small-parts cabinet", "Clear drawers, can be hung on a wall.", [5]string{"9 drawers", "18 drawers", "30 drawers", "44 drawers", "60 drawers"}},
		{"Moving carton", "Double-walled, carries 40 kg.", [5]string{"30 l", "50 l", "70 l", "96 l", "wardrobe"}},
	}},
	{"Office", "OFC", []kind{
		{"Copy paper, 500 sheets", "80 g, FSC mix.", [5]string{"A4", "A4 recycled", "A4 90 g", "A3", "A5"}},
		{"Ballpoint pen, box of 20", "Refillable.", [5]string{"blue", "black", "red", "green", "assorted"}},
		{"Lever arch file", "With a steel edge and a label.", [5]string{"50 mm black", "50 mm blue", "80 mm black", "80 mm blue", "80 mm red"}},
		{"Toner cartridge", "For 2,500 pages.", [5]string{"black", "cyan", "magenta", "yellow", "black XL"}},
		{"Shipping labels, 100 sheets", "Self-adhesive, for lasers and ink-jets.", [5]string{"210 x 297", "210 x 148", "105 x 148", "105 x 74", "70 x 37"}},
	}},
	{"Cleaning", "CLN", []kind{
		{"All-purpose cleaner", "Biodegradable, with a scent of lemon.", [5]string{"500 ml", "750 ml", "1 l", "5 l", "10 l"}},
		{"Broom", "Beech body with a thread for the handle.", [5]string{"30 cm", "40 cm", "50 cm", "60 cm", "80 cm"}},
		{"Refuse sacks, roll", "Recycled polyethylene.", [5]string{"35 l", "60 l", "80 l", "120 l", "240 l"}},
		{"Cleaning cloths, pack of 10", "Washable at 60 degrees.", [5]string{"blue", "green", "red", "yellow", "grey"}},
		{"Bucket", "With a scale inside and a spout.", [5]string{"5 l", "10 l", "12 l", "15 l", "with wringer"}},
	}},
	{"Electronics", "ELT", []kind{
		{"USB-C cable", "Braided, carries 60 W.", [5]string{"0.5 m", "1 m", "1.5 m", "2 m", "3 m"}},
		{"Network cable Cat 6", "Shielded twice, moulded boots.", [5]string{"0.5 m", "1 m", "3 m", "5 m", "10 m"}},
		{"Barcode scanner", "Reads from screens too.", [5]string{"1D wired", "2D wired", "1D wireless", "2D wireless", "2D rugged"}},
		{"Webcam", "With a cover for the lens.", [5]string{"720p", "1080p", "1080p wide", "1440p", "4K"}},
		{"Wireless mouse", "Runs for a year on one cell.", [5]string{"black", "white", "vertical", "left-handed", "silent"}},
	}},
}

var clients = []string{
	"Aldgate Joinery", "Bergmann & Sons", "Blue Door Cafe", "Brook Street School", "Cedar Hill Farm", "City Theatre", "Delgado Electric", "Eastside Garage",
	"Fischer Heating", "Green Lane Nursery", "Harbour Hotel", "Ivy House Dentists", "Jansen Interiors", "Kowalski Roofing", "Lakeside Camping", "Marini Stone",
	"Northgate Museum", "Old Mill Bakery", "Petrov Renovations", "Quarry Road Clinic", "Rossi Gardens", "St Anne's Parish", "Tanaka Studio", "Westwood Housing",
}

var wishes = []string{
	"For the site in Mill Lane", "Monthly order", "Please deliver before noon", "Will be picked up", "Ring before delivery", "For the new workshop",
	"As agreed on the telephone", "Replaces what was damaged", "To the back entrance, please", "",
}
