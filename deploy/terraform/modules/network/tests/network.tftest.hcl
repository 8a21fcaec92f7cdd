variables {
  node_cidr    = "10.10.0.0/24"
  pod_cidr     = "10.244.0.0/16"
  service_cidr = "10.96.0.0/12"
  worker_count = 2
}

run "addresses_follow_each_other" {
  command = plan

  assert {
    condition     = output.control_plane_address == "10.10.0.10" && join(",", output.worker_addresses) == "10.10.0.11,10.10.0.12"
    error_message = join(", ", output.worker_addresses)
  }

  assert {
    condition     = output.dns_address == "10.96.0.10"
    error_message = output.dns_address
  }
}

run "a_node_network_within_the_service_network_is_refused" {
  command = plan
  variables {
    node_cidr = "10.97.3.0/24"
  }
  expect_failures = [output.control_plane_address]
}

run "a_pod_network_that_holds_the_node_network_is_refused" {
  command = plan
  variables {
    pod_cidr = "10.0.0.0/8"
  }
  expect_failures = [output.control_plane_address]
}

run "pods_and_services_that_share_addresses_are_refused" {
  command = plan
  variables {
    pod_cidr = "10.111.0.0/16"
  }
  expect_failures = [output.control_plane_address]
}

run "neighbours_do_not_overlap" {
  command = plan
  variables {
    node_cidr    = "10.95.255.0/24"
    service_cidr = "10.96.0.0/12"
    pod_cidr     = "10.112.0.0/16"
  }

  assert {
    condition     = output.control_plane_address == "10.95.255.10"
    error_message = output.control_plane_address
  }
}

run "an_address_within_a_network_is_no_network" {
  command = plan
  variables {
    node_cidr = "10.10.0.5/24"
  }
  expect_failures = [var.node_cidr]
}

run "a_node_network_without_room_is_refused" {
  command = plan
  variables {
    node_cidr = "10.10.0.0/28"
  }
  expect_failures = [var.node_cidr]
}

run "more_workers_than_addresses_are_refused" {
  command = plan
  variables {
    node_cidr    = "10.10.0.0/26"
    worker_count = 52
  }
  expect_failures = [output.worker_addresses]
}

run "a_pod_network_without_room_for_nodes_is_refused" {
  command = plan
  variables {
    pod_cidr = "10.244.0.0/24"
  }
  expect_failures = [var.pod_cidr]
}
