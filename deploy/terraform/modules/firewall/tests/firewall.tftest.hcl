variables {
  admin_cidr   = "203.0.113.7/32"
  node_cidr    = "10.10.0.0/24"
  cluster_name = "tickloop"
  names        = { node = "tickloop-node", control_plane = "tickloop-control-plane" }
}

run "ssh_and_the_api_server_are_open_to_the_administrator_and_nodes_alone" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for name, rule in output.rules : [
        for allow in rule.allow : alltrue([for source in rule.sources : contains(["203.0.113.7/32", "10.10.0.0/24"], source)])
        if contains(allow.ports, "22") || contains(allow.ports, "6443")
      ]
    ]))
    error_message = jsonencode(output.rules)
  }

  assert {
    condition     = jsonencode(output.rules["tickloop-ssh-from-admin"].sources) == jsonencode(["203.0.113.7/32"])
    error_message = jsonencode(output.rules["tickloop-ssh-from-admin"])
  }
}

run "no_rule_allows_every_port" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for rule in output.rules : [
        for allow in rule.allow : allow.protocol == "icmp" || (contains(["tcp", "udp"], allow.protocol) && length(allow.ports) > 0)
      ]
    ]))
    error_message = jsonencode(output.rules)
  }
}

run "nfs_and_the_api_server_are_on_the_control_plane_alone" {
  command = plan

  assert {
    condition = alltrue([
      for name in ["tickloop-nfs-from-nodes", "tickloop-api-from-nodes", "tickloop-api-from-admin"] :
      jsonencode(output.rules[name].targets) == jsonencode(["tickloop-control-plane"])
    ])
    error_message = jsonencode(output.rules)
  }
}

run "two_administrators_are_both_let_in" {
  command = plan
  variables {
    admin_cidr = "203.0.113.7/32, 198.51.100.0/24"
  }

  assert {
    condition     = jsonencode(output.rules["tickloop-api-from-admin"].sources) == jsonencode(["203.0.113.7/32", "198.51.100.0/24"])
    error_message = jsonencode(output.rules)
  }
}

run "the_whole_internet_is_refused" {
  command = plan
  variables {
    admin_cidr = "0.0.0.0/0"
  }
  expect_failures = [var.admin_cidr]
}

run "the_whole_internet_as_a_second_network_is_refused" {
  command = plan
  variables {
    admin_cidr = "203.0.113.7/32,0.0.0.0/0"
  }
  expect_failures = [var.admin_cidr]
}

run "the_internet_in_two_halves_is_refused" {
  command = plan
  variables {
    admin_cidr = "0.0.0.0/1,128.0.0.0/1"
  }
  expect_failures = [var.admin_cidr]
}

run "an_address_without_a_length_is_refused" {
  command = plan
  variables {
    admin_cidr = "203.0.113.7"
  }
  expect_failures = [var.admin_cidr]
}

run "nothing_is_refused" {
  command = plan
  variables {
    admin_cidr = ""
  }
  expect_failures = [var.admin_cidr]
}
