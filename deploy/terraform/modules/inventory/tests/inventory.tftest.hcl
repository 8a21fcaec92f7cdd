variables {
  nodes = {
    tickloop-control-plane = { role = "control_plane", address = "10.10.0.10" }
    tickloop-worker-01     = { role = "worker", address = "10.10.0.11" }
    tickloop-worker-02     = { role = "worker", address = "10.10.0.12" }
  }
  public_addresses = {
    tickloop-control-plane = "198.51.100.10"
    tickloop-worker-01     = "198.51.100.11"
    tickloop-worker-02     = "198.51.100.12"
  }
  user             = "ubuntu"
  private_key_file = "/keys/ssh_key"
  known_hosts_file = "/keys/known_hosts"
}

run "nodes_are_reached_from_outside_and_know_their_address_inside" {
  command = plan

  assert {
    condition     = yamldecode(output.inventory).all.children.workers.hosts["tickloop-worker-02"].ansible_host == "198.51.100.12"
    error_message = output.inventory
  }

  assert {
    condition     = yamldecode(output.inventory).all.children.control_plane.hosts["tickloop-control-plane"].node_ip == "10.10.0.10"
    error_message = output.inventory
  }

  assert {
    condition     = length(yamldecode(output.inventory).all.children.workers.hosts) == 2
    error_message = output.inventory
  }
}

run "whom_ansible_comes_as_and_where_the_api_server_is" {
  command = plan

  assert {
    condition     = yamldecode(output.inventory).all.vars.ansible_user == "ubuntu" && yamldecode(output.inventory).all.vars.ansible_ssh_private_key_file == "/keys/ssh_key"
    error_message = output.inventory
  }

  assert {
    condition     = yamldecode(output.inventory).all.vars.control_plane_address == "10.10.0.10" && output.api_address == "198.51.100.10"
    error_message = output.inventory
  }
}

run "a_line_for_each_node" {
  command = plan

  assert {
    condition     = split("\n", output.addresses)[0] == "tickloop-control-plane 198.51.100.10 control_plane" && length(split("\n", output.addresses)) == 3
    error_message = output.addresses
  }
}

run "nothing_runs_when_only_data_are_kept" {
  command = plan
  variables {
    public_addresses = {}
  }

  assert {
    condition     = output.addresses == "" && length(yamldecode(output.inventory).all.children.workers.hosts) == 0
    error_message = output.inventory
  }
}
