variables {
  region        = "us-central1"
  machine_types = ["e2-highcpu-4", "e2-highcpu-4", "e2-highcpu-4"]
  boot_disk_gb  = 30
  data_disk_gb  = 100
  addresses     = 3
}

run "three_small_nodes_cost_what_their_cores_and_memory_cost" {
  command = plan

  # 0.098936 an hour each; 730 h x 3 = 216.67.
  assert {
    condition     = output.parts.nodes == 216.67
    error_message = output.parts.nodes
  }

  assert {
    condition     = output.parts.boot_disks == 9 && output.parts.data_disk == 10 && output.parts.addresses == 10.95
    error_message = jsonencode(output.parts)
  }

  assert {
    condition     = output.monthly_usd == 246.62
    error_message = output.monthly_usd
  }
}

run "what_a_data_disk_costs_that_is_left_alone" {
  command = plan
  variables {
    machine_types = []
    addresses     = 0
  }

  assert {
    condition     = output.monthly_usd == 10
    error_message = output.monthly_usd
  }
}

run "nothing_costs_nothing" {
  command = plan
  variables {
    machine_types = []
    data_disk_gb  = 0
    addresses     = 0
  }

  assert {
    condition     = output.monthly_usd == 0
    error_message = output.monthly_usd
  }
}

run "memory_counts" {
  command = plan
  variables {
    machine_types = ["e2-highmem-4"]
    prices        = { core_hour = 0, memory_gb_hour = 1, disk_gb_month = 0, address_hour = 0 }
  }

  assert {
    condition     = output.monthly_usd == 730 * 32
    error_message = output.monthly_usd
  }
}

run "a_region_that_is_not_in_the_table_is_said" {
  command = plan
  variables {
    region = "europe-west4"
  }

  assert {
    condition     = strcontains(output.text, "prices of europe-west4 are not in the table")
    error_message = output.text
  }
}

run "own_prices_leave_no_doubt" {
  command = plan
  variables {
    region = "europe-west4"
    prices = { core_hour = 0.02, memory_gb_hour = 0.003, disk_gb_month = 0.1, address_hour = 0.005 }
  }

  assert {
    condition     = !strcontains(output.text, "not in the table")
    error_message = output.text
  }
}

run "a_price_of_something_else_is_refused" {
  command = plan
  variables {
    prices = { coffee = 3 }
  }
  expect_failures = [var.prices]
}

run "a_negative_price_is_refused" {
  command = plan
  variables {
    prices = { core_hour = -1 }
  }
  expect_failures = [var.prices]
}
