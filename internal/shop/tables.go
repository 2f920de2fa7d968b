package shop

// Schema is the database that holds the shop's tables.
const Schema = "shop"

// Tables are the statements that make the tables, in order. There are no foreign keys: rows that InnoDB deletes by
// itself are not in the binlog.
var tables = []string{
	`CREATE TABLE customers (
  id         INT UNSIGNED    NOT NULL PRIMARY KEY,
  card       BIGINT UNSIGNED NOT NULL COMMENT 'number of the loyalty card; larger than a signed BIGINT',
  name       VARCHAR(80)     NOT NULL,
  email      VARCHAR(120)    NOT NULL,
  city       VARCHAR(60)     NOT NULL,
  country    CHAR(2)         NOT NULL,
  tier       ENUM('standard','silver','gold','vip') NOT NULL DEFAULT 'standard',
  points     INT             NOT NULL DEFAULT 0,
  contact_by SET('email','sms','post') NOT NULL DEFAULT '',
  born       DATE            NULL,
  joined_at  DATETIME(3)     NOT NULL,
  note       TEXT            NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE products (
  id         INT UNSIGNED   NOT NULL PRIMARY KEY,
  sku        CHAR(8)        NOT NULL,
  name       VARCHAR(80)    NOT NULL,
  price      DECIMAL(10,2)  NOT NULL,
  stock      INT            NOT NULL COMMENT 'pieces in the warehouse',
  sold_30d   INT            NOT NULL COMMENT 'pieces sold in the last 30 days; 0 for a product that is not on sale yet',
  weight_kg  DOUBLE         NULL,
  attributes JSON           NULL,
  updated_at TIMESTAMP      NOT NULL DEFAULT '2026-01-01 00:00:00'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE orders (
  id          BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  customer_id INT UNSIGNED    NOT NULL,
  status      ENUM('new','paid','shipped','delivered','cancelled') NOT NULL DEFAULT 'new',
  total       DECIMAL(12,2)   NOT NULL,
  currency    CHAR(3)         NOT NULL DEFAULT 'EUR',
  gift        TINYINT(1)      NOT NULL DEFAULT 0,
  placed_at   DATETIME(3)     NOT NULL,
  paid_at     TIMESTAMP(3)    NULL DEFAULT NULL,
  details     JSON            NULL,
  note        TEXT            NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE order_lines (
  order_id   BIGINT UNSIGNED   NOT NULL,
  line_no    SMALLINT UNSIGNED NOT NULL,
  product_id INT UNSIGNED      NOT NULL,
  quantity   SMALLINT UNSIGNED NOT NULL,
  unit_price DECIMAL(10,2)     NOT NULL,
  PRIMARY KEY (order_id, line_no)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
}

// Words that rows are made of: several scripts, quotes and a four-byte character among them, since real data has them.
var (
	firstNames = []string{"Anna", "Zoë", "Łukasz", "Søren", "Márta", "Jürgen", "美咲", "Олена", "Inês", "Ahmet", "Niamh", "Chloé",
		"Δημήτρης", "José", "Emma", "Bjørk", "Matteo", "Ayşe", "Noor", "Tereza"}
	lastNames = []string{"O'Neill", "Müller", "García", "Kowalska", "Østergaard", "Nagy", "佐藤", "Шевченко", "Ferreira", "Yılmaz",
		"Murphy", "Dubois", "Παπαδόπουλος", "Núñez", "de Vries", "Jónsdóttir", "Rossi", "Čapek", "van den Berg", "Lindqvist"}
	places = [][2]string{{"Wien", "AT"}, {"Liège", "BE"}, {"Zürich", "CH"}, {"Brno", "CZ"}, {"Köln", "DE"}, {"Århus", "DK"},
		{"Málaga", "ES"}, {"Tampere", "FI"}, {"Besançon", "FR"}, {"Θεσσαλονίκη", "GR"}, {"Győr", "HU"}, {"Cork", "IE"},
		{"Forlì", "IT"}, {"Łódź", "PL"}, {"Évora", "PT"}, {"Malmö", "SE"}, {"Київ", "UA"}}
	adjectives = []string{"Folding", "Oak", "Enamel", "Wool", "Brass", "Café", "Nordic", "Linen", "Piñata", "Étagère"}
	nouns      = []string{"chair", "table", "lamp", "kettle", "blanket", "mirror", "basket", "clock", "shelf", "desk"}
	colours    = []string{"naturel", "schwarz", "weiß", "røð", "blå"}
	notes      = []string{"Please leave it with the neighbour.", "Bitte klingeln – Hund beißt nicht.", "Call: +353 1 555 0100",
		"Happy birthday! 🎉", `Gate code "4711"\nsecond floor`, "配達は午後にお願いします。"}
)
