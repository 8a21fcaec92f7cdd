# With the cluster file that is really used, and the modules together.
variables {
  cluster_file               = "../../../cluster.yaml"
  iam_user_name              = "ubuntu"
  my_project_id              = "my-project-1234"
  my_ssh_key                 = "me.pub"
  static_folder              = "../inputs/tests/static"
  credentials_file           = "credentials.json"
  zone                       = "asia-northeast3-a"
  admin_cidr                 = "203.0.113.7/32"
  worker_count               = 2
  control_plane_machine_type = "e2-highcpu-4"
  worker_machine_type        = "e2-highcpu-4"
  boot_disk_gb               = 30
  data_disk_gb               = 100
  keep_data_only             = false
  prices                     = {}
}

run "three_nodes_with_addresses_of_the_cluster_file" {
  command = plan

  assert {
    condition = alltrue([
      for node in output.nodes : cidrhost("${node.address}/${split("/", yamldecode(file("../../../cluster.yaml")).node_cidr)[1]}", 0) == cidrhost(yamldecode(file("../../../cluster.yaml")).node_cidr, 0)
    ])
    error_message = jsonencode(output.nodes)
  }

  assert {
    condition     = length(output.nodes) == 3
    error_message = jsonencode(output.nodes)
  }
}

run "the_image_is_that_of_the_release" {
  command = plan

  assert {
    condition     = output.boot_image == "debian-cloud/debian-13"
    error_message = output.boot_image
  }

  assert {
    condition     = output.data_device_name == "tickloop-data"
    error_message = output.data_device_name
  }
}

run "the_estimate_counts_every_node_and_disk" {
  command = plan

  # Seoul: 730 x 3 x 4 x (0.027995 + 0.003752) + 190 GB x 0.13 + 3 x 730 x 0.005
  assert {
    condition     = output.monthly_usd == 313.75
    error_message = output.monthly_usd
  }
}

run "kept_data_are_a_disk_and_nothing_else" {
  command = plan
  variables {
    keep_data_only = true
  }

  assert {
    condition     = length(output.nodes) == 0 && length(output.rules) == 0 && output.monthly_usd == 13
    error_message = output.monthly_usd
  }
}

run "a_data_disk_without_room_is_refused" {
  command = plan
  variables {
    data_disk_gb = 5
  }
  expect_failures = [var.data_disk_gb]
}
