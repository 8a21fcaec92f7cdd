# An estimate of the month, before anything is bought: list prices, no discounts, no tax, no traffic to the internet.

terraform {
  required_version = ">= 1.9"
}

variable "region" {
  type = string
}

variable "machine_types" {
  description = "Of each node that runs."
  type        = list(string)
}

variable "boot_disk_gb" {
  description = "Of each node."
  type        = number
}

variable "data_disk_gb" {
  type = number
}

variable "addresses" {
  description = "How many IPv4 addresses are in use."
  type        = number
}

variable "prices" {
  description = "Prices of your own, in US dollars, over those of the table: core_hour, memory_gb_hour, disk_gb_month, address_hour."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.prices) : contains(["core_hour", "memory_gb_hour", "disk_gb_month", "address_hour"], name)])
    error_message = "prices names what is not priced here; valid: core_hour, memory_gb_hour, disk_gb_month, address_hour."
  }

  validation {
    condition     = alltrue([for price in values(var.prices) : price >= 0])
    error_message = "A price in prices is negative; valid: 0 or more, in US dollars."
  }
}

locals {
  # Working figures of E2 and of balanced disks, US dollars, on demand; written in November 2026 from memory of Google's
  # list, which is behind a calculator (https://cloud.google.com/products/calculator). Give `prices` where it differs.
  table = {
    us-central1     = { core_hour = 0.021811, memory_gb_hour = 0.002923, disk_gb_month = 0.10, address_hour = 0.005 }
    asia-northeast3 = { core_hour = 0.027995, memory_gb_hour = 0.003752, disk_gb_month = 0.13, address_hour = 0.005 }
  }
  is_known = contains(keys(local.table), var.region)
  price    = merge(local.table[local.is_known ? var.region : "asia-northeast3"], var.prices)

  # GB of memory for each core, by the second word of the type.
  memory_per_core = { highcpu = 1, standard = 4, highmem = 8 }
  machines = [
    for type in var.machine_types : {
      cores     = tonumber(split("-", type)[2])
      memory_gb = tonumber(split("-", type)[2]) * local.memory_per_core[split("-", type)[1]]
      is_e2     = split("-", type)[0] == "e2"
    }
  ]

  # As Google counts a month.
  hours = 730

  parts = {
    nodes      = sum(concat([0], [for m in local.machines : local.hours * (m.cores * local.price.core_hour + m.memory_gb * local.price.memory_gb_hour)]))
    boot_disks = length(var.machine_types) * var.boot_disk_gb * local.price.disk_gb_month
    data_disk  = var.data_disk_gb * local.price.disk_gb_month
    addresses  = var.addresses * local.hours * local.price.address_hour
  }

  total = sum(values(local.parts))
  doubts = compact([
    local.is_known || length(var.prices) == 4 ? "" : "prices of ${var.region} are not in the table, those of asia-northeast3 were taken",
    alltrue([for m in local.machines : m.is_e2]) || length(var.prices) == 4 ? "" : "a machine type is no E2, prices of E2 were taken",
  ])
}

output "parts" {
  description = "US dollars a month, by what costs them."
  value       = { for name, dollars in local.parts : name => floor(dollars * 100 + 0.5) / 100 }
}

output "monthly_usd" {
  value = floor(local.total * 100 + 0.5) / 100
}

output "text" {
  value = join("", [
    format("about %.0f US dollars a month (nodes %.0f, their disks %.0f, data disk %.0f, addresses %.0f)",
    local.total, local.parts.nodes, local.parts.boot_disks, local.parts.data_disk, local.parts.addresses),
    "; list prices without tax, traffic and discounts",
    [for doubt in [join("; ", local.doubts)] : doubt == "" ? "" : "; ${doubt}"][0],
  ])
}
